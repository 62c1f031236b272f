"""The scene on a periodic frame, so large that what wraps around is never seen.

On a periodic frame a blur is a product of spectra, and so is the solution of

    min over x of  a |H x - u|^2 + b |D x - v|^2 + c |x - w|^2

(H the blur, D the differences to the next pixel on each axis), which is what splitting
methods ask for again and again. What ties x to the measured image and to a boundary is
said pixel by pixel: `mask` is 1 where the camera looked and 0 elsewhere, and
`continued` is the nearest scene that goes on beyond the image as the boundary says.

    | margin | image as measured | margin | filled up to a fast size
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.ops import fourier
from jdeconv.ops.boundary import pad, pad_transpose
from jdeconv.restore.blur import Blur


class Frame(NamedTuple):
    """A measured image on its frame; sizes are spatial.

    Attributes:
      data: `[*batch, *shape]`, the measured image in its place, 0 elsewhere.
      mask: `[*shape]`, 1 where the camera looked.
      otf: spectrum of H, as `fourier.transform`.
      power: spectrum of D'D.
      shape: of the frame.
      size: of the measured image.
      margins: (low, high) per axis, what else the camera saw light of.
    """

    data: Array
    mask: Array
    otf: Array
    power: Array
    shape: tuple[int, ...]
    size: tuple[int, ...]
    margins: tuple[tuple[int, int], ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial ones, counted from the end."""
        return tuple(range(-len(self.shape), 0))

    def crop(self, scene: Array) -> Array:
        """What the measured image shows of the scene."""
        inside = [slice(lo, lo + n) for (lo, _), n in zip(self.margins, self.size)]
        return scene[(..., *inside)]

    def place(self, image: Array, mode: str = "zero") -> Array:
        """An array of the image's size in its place, continued by zeros or "edge"."""
        sizes = zip(self.margins, self.size, self.shape)
        margins = [(lo, m - lo - n) for (lo, _), n, m in sizes]
        return pad(image, self._lead(image) + margins, mode)

    def continued(self, scene: Array, boundary: str) -> Array:
        """The nearest scene whose margins are what the boundary makes of its inside."""
        margins = self._lead(scene) + list(self.margins)
        seen = [sum(m) + n for m, n in zip(self.margins, self.size)]
        core = tuple(slice(n) for n in seen)
        copies = pad_transpose(jnp.ones(seen, scene.dtype), self.margins, boundary)
        image = pad_transpose(scene[(..., *core)], margins, boundary) / copies
        return scene.at[(..., *core)].set(pad(image, margins, boundary))

    def blurred(self, spectrum: Array) -> Array:
        """H x, of the spectrum of x."""
        return fourier.inverse(spectrum * self.otf, self.shape, real=True)

    def differences(self, x: Array) -> list[Array]:
        """D x: per axis, the next pixel less this one."""
        return [jnp.roll(x, -1, axis) - x for axis in self.axes]

    def divergence(self, slopes: list[Array]) -> Array:
        """D' of one array per axis."""
        pairs = zip(slopes, self.axes)
        terms = [jnp.roll(s, 1, axis) - s for s, axis in pairs]
        return sum(terms[1:], start=terms[0])

    def _lead(self, image: Array) -> list[tuple[int, int]]:
        return [(0, 0)] * (image.ndim - len(self.shape))


def frame(image: Array, blur: Blur) -> Frame:
    """The frame of a measured image: periodic already if the blur is circular."""
    size = blur.output_shape
    if blur.boundary == "circular":
        margins = tuple((0, 0) for _ in size)
        shape = size
    else:
        margins = tuple((k - 1 - c, c) for k, c in zip(blur.psf.shape, blur.center))
        shape = tuple(fourier.fast_size(n + sum(m)) for n, m in zip(size, margins))
    empty = Frame(
        data=image,
        mask=jnp.ones(size, image.dtype),
        otf=fourier.transfer_function(blur.psf, shape, blur.center),
        power=power_spectrum(shape, image.dtype),
        shape=shape,
        size=size,
        margins=margins,
    )
    return empty._replace(data=empty.place(image), mask=empty.place(empty.mask))


def power_spectrum(shape: tuple[int, ...], dtype) -> Array:
    """Of D'D: |exp(i w) - 1|^2 = 4 sin^2(w / 2), summed over the axes."""
    axes = [4 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape]
    axes[-1] = axes[-1][: shape[-1] // 2 + 1]
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    return jnp.asarray(sum(grids), dtype)
