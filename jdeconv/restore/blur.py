"""Blur: convolution with a point spread function, and its exact adjoint.

    y[i] = sum over t of psf[t] x[i - (t - center)]

so a point of light at i becomes a copy of the PSF with its centre at i. Beyond the
frame x is what `boundary` says; "valid" takes x from the larger frame that all of y
depends on and assumes nothing:

    circular    c d | a b c d | a b         zero    0 0 | a b c d | 0 0
    reflect     c b | a b c d | c b         edge    a a | a b c d | d d
"""

import functools
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.ops import conv, conv_transpose, fourier
from jdeconv.ops.boundary import pad, pad_transpose
from jdeconv.restore.bands import bands

BOUNDARIES = ("circular", "zero", "reflect", "edge", "valid")
METHODS = ("auto", "direct", "fft")
_FROM_CENTER = ("circular", "zero")  # transforms of these sum up around the centre
_DIRECT = 49  # taps: on two cores 7 x 7 sums take as long as transforms, at 512 x 512


def default_center(shape: Sequence[int]) -> tuple[int, ...]:
    """(n - 1) // 2 on each axis: the middle, and of even sizes the lower middle."""
    return tuple((n - 1) // 2 for n in shape)


@runtime_checkable
class Operator(Protocol):
    """What solvers ask of a blur: of `Blur`, `VaryingBlur`, `Subsampled`, or your own.

    Attributes:
      shape: spatial sizes of the scene.
      output_shape: spatial sizes of the blurred image.
      num_axes: how many of an image's axes are spatial, the last ones.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def output_shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def num_axes(self) -> int: ...  # noqa: D102

    def __call__(self, x: Array) -> Array:
        """The blurred image of `[*batch, *shape]`."""

    def adjoint(self, y: Array) -> Array:
        """The Hermitian adjoint."""

    def crop(self, scene: Array) -> Array:
        """The part of a scene that the blurred image shows."""


def check_image(image: Array, shape: tuple[int, ...]) -> None:
    """Refuses integers, and images whose last axes are not of this shape."""
    first = image.ndim - len(shape)
    if first < 0 or image.shape[first:] != shape:
        raise ValueError(f"image of shape {image.shape}: its last axes must be {shape}")
    if not jnp.issubdtype(image.dtype, jnp.inexact):
        raise ValueError(
            f"image of {image.dtype}: must be floating or complex; convert it first"
        )


def visible(scene: Array, window: Sequence[int], center: Sequence[int]) -> Array:
    """The pixels of a scene that are also pixels of its "valid" blur by this PSF."""
    sizes = scene.shape[scene.ndim - len(window) :]
    inside = [
        slice(k - 1 - c, n - c) for n, k, c in zip(sizes, window, center, strict=True)
    ]
    return scene[(..., *inside)]


@jax.tree_util.register_pytree_node_class
class Blur:
    """Linear operator from images `[*batch, *shape]` to blurred ones.

    A pytree whose leaves are the PSF and its transfer function: it passes through jit,
    vmap and grad, which see changes of the PSF.

    Attributes:
      psf: point spread function; its number of axes is that of the images.
      shape: of the images it takes, without batch axes.
      output_shape: of the images it returns: `shape`, for "valid" smaller by psf - 1.
      boundary, center, method: as given; `method` resolved to "direct" or "fft".
    """

    def __init__(
        self,
        psf: Array,
        shape: Sequence[int],
        boundary: str = "circular",
        *,
        center: Sequence[int] | None = None,
        method: str = "auto",
    ):
        """Checks the arguments and computes the transfer function.

        Args:
          psf: real or complex floating array; used as it is, not normalised.
          shape: spatial sizes of the images.
          boundary: "circular", "zero", "reflect", "edge" or "valid".
          center: index into the PSF; (n - 1) // 2 on each axis if None.
          method: "direct" sums, "fft", or "auto": direct up to 49 taps.

        Raises:
          ValueError: unknown boundary or method, a PSF of another number of axes or
            larger than the images, a centre outside the PSF, a PSF that is no float.
        """
        psf = jnp.asarray(psf)
        shape = tuple(int(n) for n in shape)
        if boundary not in BOUNDARIES:
            raise ValueError(
                f"boundary={boundary!r}: must be one of {', '.join(BOUNDARIES)}"
            )
        if method not in METHODS:
            raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
        if not jnp.issubdtype(psf.dtype, jnp.inexact):
            raise ValueError(f"psf of {psf.dtype}: must be floating or complex")
        if psf.ndim != len(shape) or not all(
            1 <= k <= n for k, n in zip(psf.shape, shape)
        ):
            raise ValueError(
                f"psf of shape {psf.shape}: must have {len(shape)} axes, none empty "
                f"and none longer than in the image's {shape}"
            )
        center = default_center(psf.shape) if center is None else tuple(center)
        if len(center) != psf.ndim or not all(
            0 <= c < k for c, k in zip(center, psf.shape)
        ):
            raise ValueError(
                f"center={center}: must be an index into the psf of shape {psf.shape}"
            )
        if method == "auto":
            method = "direct" if psf.size <= _DIRECT else "fft"
        self.psf, self.shape, self.boundary = psf, shape, boundary
        self.center, self.method = center, method
        self._ends: tuple[int, ...] = ()  # of bands, where there are any
        if method == "fft" and psf.ndim == 2 and jax.default_backend() == "cpu":
            self._ends = bands(self.output_shape, psf.shape[0], boundary)
        self._otfs: Any = {}  # by the frame; in direct sums there are none
        if method == "fft":
            start = self._start(banded=bool(self._ends))
            self._otfs = {
                frame: fourier.transfer_function(psf, frame, start)
                for frame in set(self._frames)
            }

    def tree_flatten(self):
        """Leaves, and what must be equal for two programs to be the same."""
        static = (self.shape, self.boundary, self.center, self.method, self._ends)
        return (self.psf, self._otfs), static

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """The inverse of `tree_flatten`; leaves may be whatever a transform uses."""
        self = object.__new__(cls)
        self.psf, self._otfs = leaves
        self.shape, self.boundary, self.center, self.method, self._ends = static
        return self

    @property
    def num_axes(self) -> int:
        """How many of an image's axes are spatial, the last ones."""
        return len(self.shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial sizes of the blurred image."""
        if self.boundary != "valid":
            return self.shape
        return tuple(n - k + 1 for n, k in zip(self.shape, self.psf.shape))

    def __call__(self, x: Array) -> Array:
        """The blurred image.

        Args:
          x: `[*batch, *shape]`, floating or complex.

        Returns:
          `[*batch, *output_shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        check_image(x, self.shape)
        return _blurred(self, x)

    def adjoint(self, y: Array) -> Array:
        """The Hermitian adjoint: <blur(x), y> == <x, blur.adjoint(y)> for all x and y.

        Args:
          y: `[*batch, *output_shape]`.

        Returns:
          `[*batch, *shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        check_image(y, self.output_shape)
        return _adjoint(self, y)

    def crop(self, scene: Array) -> Array:
        """The part of a scene `[*batch, *shape]` that the blurred image shows."""
        if self.boundary != "valid":
            return scene
        return visible(scene, self.psf.shape, self.center)

    def seen(self) -> Array:
        """The adjoint of ones, `[*shape]`: how much of a pixel's light is in the image.

        Of "zero" and "valid" sums of the PSF over the shifts that stay in the image, an
        axis at a time, without a transform.
        """
        if self.boundary not in ("circular", "zero", "valid"):
            return self.adjoint(jnp.ones(self.output_shape, self.psf.dtype))
        share = jnp.conj(self.psf)
        if self.boundary == "circular":
            return jnp.broadcast_to(jnp.sum(share), self.shape)
        for axis, start in enumerate(self._start(banded=False)):
            pixels = jnp.arange(self.shape[axis])[:, None]
            target = pixels + jnp.arange(self.psf.shape[axis]) - start
            stays = (target >= 0) & (target < self.output_shape[axis])
            share = jnp.tensordot(
                stays.astype(share.dtype), share, (1, axis), precision="highest"
            )
            share = jnp.moveaxis(share, 0, axis)
        return share

    def framed(self, *, one_thread: bool) -> "Blur | None":
        """The circular blur of whole frames that, with zeros around, is this one.

        Of scenes and blurred images at the frame's start, filled up with zeros: then
        ``framed(scene)`` starts with ``blur(scene)``, ``framed.adjoint(image)`` with
        ``blur.adjoint(image)``; beyond it has what must be set to zero again. A loop
        that does so on the way neither cuts nor fills up arrays.

        Args:
          one_thread: whether transforms may have one thread only (see `bands`).

        Returns:
          None for direct sums; where what is beyond the scene counts, of the boundaries
          all but "zero" and "valid"; where bands are faster.
        """
        if self.method == "direct" or self.boundary not in ("zero", "valid"):
            return None
        boundary = self.boundary if one_thread else "valid"
        if self._ends and bands(self.output_shape, self.psf.shape[0], boundary):
            return None
        frame = self._whole_frame
        start = self._start(banded=False)
        if self._ends:
            otf = fourier.transfer_function(self.psf, frame, start)
        else:
            otf = self._otfs[frame]
        static = (frame, "circular", start, self.method, ())
        return self.tree_unflatten(static, (self.psf, {frame: otf}))

    def _linear(self, function, image: Array) -> Array:
        """Applies a linear function of arrays as complex as the PSF."""
        if jnp.iscomplexobj(self.psf):
            return function(image.astype(jnp.result_type(image, self.psf)))
        if jnp.iscomplexobj(image):
            return function(image.real) + 1j * function(image.imag)
        return function(image)

    # Whatever lies beyond the frame is put there first; then only complete sums count.
    # Transforms wrap around by themselves, or, on a frame larger by the PSF's longer
    # side, around zeros; but not from band to band.

    @property
    def _margins(self) -> list[tuple[int, int]]:
        if self.boundary == "valid":
            return [(0, 0)] * self.psf.ndim
        margins = [(k - 1 - c, c) for k, c in zip(self.psf.shape, self.center)]
        if self.boundary in _FROM_CENTER and self.method == "fft":
            first = margins[:1] if self._ends else [(0, 0)]
            margins = first + [(0, 0)] * (self.psf.ndim - 1)
        return margins

    @property
    def _padded(self) -> tuple[int, ...]:
        return tuple(n + lo + hi for n, (lo, hi) in zip(self.shape, self._margins))

    def _start(self, banded: bool) -> tuple[int, ...]:
        """The index of the PSF around which transforms sum up."""
        last = tuple(k - 1 for k in self.psf.shape)
        start = self.center if self.boundary in _FROM_CENTER else last
        return (last[0], *start[1:]) if banded else start

    @property
    def _whole_frame(self) -> tuple[int, ...]:
        """Of the transforms that are not cut into bands."""
        sizes = self._padded
        if self.boundary == "zero":
            sides = [max(c, k - 1 - c) for k, c in zip(self.psf.shape, self.center)]
            sizes = tuple(n + side for n, side in zip(self.shape, sides))
        if self.boundary != "circular":
            sizes = tuple(fourier.fast_size(n) for n in sizes)
        return sizes

    @property
    def _frames(self) -> list[tuple[int, ...]]:
        """Of the transforms: one, or one for each band."""
        sizes = self._whole_frame
        if not self._ends:
            return [sizes]
        heights = np.diff(self._ends) + self.psf.shape[0] - 1
        return [(fourier.fast_size(int(n)), *sizes[1:]) for n in heights]

    def _pad(self, x: Array, transpose: bool = False) -> Array:
        mode = "zero" if self.boundary == "valid" else self.boundary
        margins = [(0, 0)] * (x.ndim - self.psf.ndim) + self._margins
        return (pad_transpose if transpose else pad)(x, margins, mode)

    def _kernel(self) -> Array:
        return jnp.flip(self.psf)[..., None, None]

    def _forward(self, x: Array) -> Array:
        if self.method == "direct":
            x = self._pad(x)[..., None]
            return conv(x, self._kernel(), padding="VALID")[..., 0]
        x = self._pad(x)
        if not self._ends:
            (frame,) = self._frames
            return self._sums(x, frame)[(..., *(slice(n) for n in self.output_shape))]
        return self._banded(x)

    def _backward(self, y: Array) -> Array:
        if self.method == "direct":
            kernel = jnp.conj(self._kernel())
            x = conv_transpose(y[..., None], kernel, padding="VALID")[..., 0]
            return self._pad(x, transpose=True)
        if not self._ends:
            (frame,) = self._frames
            x = self._sums(y, frame, adjoint=True)
            x = x[(..., *(slice(n) for n in self._padded))]
            return self._pad(x, transpose=True)
        if self.boundary in _FROM_CENTER:  # the adjoint is a blur, by the turned PSF
            (before, after), *others = self._margins
            margins = [(0, 0)] * (y.ndim - 2) + [(after, before), *others]
            return self._banded(pad(y, margins, self.boundary), adjoint=True)
        overlap = self.psf.shape[0] - 1
        parts = []
        below: ArrayLike = 0.0  # what a band adds to the first rows of the next one
        for start, end, frame in zip(self._ends, self._ends[1:], self._frames):
            sums = self._sums(y[..., start:end, :], frame, adjoint=True)
            sums = sums[..., : self._padded[1]]
            parts += [sums[..., :overlap, :] + below]
            parts += [sums[..., overlap : end - start, :]]
            below = sums[..., end - start : end - start + overlap, :]
        return self._pad(jnp.concatenate([*parts, below], -2), transpose=True)

    def _banded(self, x: Array, adjoint: bool = False) -> Array:
        """The complete sums, band by band."""
        overlap = self.psf.shape[0] - 1
        first = overlap if adjoint else 0
        parts = []
        for start, end, frame in zip(self._ends, self._ends[1:], self._frames):
            sums = self._sums(x[..., start : end + overlap, :], frame, adjoint)
            parts.append(sums[..., first : first + end - start, : self.output_shape[1]])
        return jnp.concatenate(parts, -2)

    def _sums(self, x: Array, frame: tuple[int, ...], adjoint: bool = False) -> Array:
        """The circular convolution, or correlation, on a frame."""
        spectrum = fourier.transform(x, frame)
        spectrum = fourier.product(spectrum, self._otfs[frame], conjugate=adjoint)
        return fourier.inverse(spectrum, frame, real=not jnp.iscomplexobj(x))


# One program in place of many operations, each of which would be compiled by itself;
# within another program, a part of it.


@functools.partial(jax.jit, inline=True)
def _blurred(blur: Blur, x: Array) -> Array:
    return blur._linear(blur._forward, x)


@functools.partial(jax.jit, inline=True)
def _adjoint(blur: Blur, y: Array) -> Array:
    return blur._linear(blur._backward, y)
