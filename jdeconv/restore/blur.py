"""Blur: convolution with a point spread function, and its exact adjoint.

    y[i] = sum over t of psf[t] x[i - (t - center)]

so a point of light at i becomes a copy of the PSF with its centre at i. Beyond the
frame x is what `boundary` says; "valid" takes x from the larger frame that all of y
depends on and assumes nothing:

    circular    c d | a b c d | a b         zero    0 0 | a b c d | 0 0
    reflect     c b | a b c d | c b         edge    a a | a b c d | d d
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.ops import conv, conv_transpose, fourier
from jdeconv.ops.boundary import pad, pad_transpose

BOUNDARIES = ("circular", "zero", "reflect", "edge", "valid")
METHODS = ("auto", "direct", "fft")
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
        self._otf: Any = None  # in direct sums there is none
        if method == "fft":
            # Circular sums start at the centre; else only complete sums are kept.
            start = center if boundary == "circular" else None
            self._otf = fourier.transfer_function(psf, self._frame, start)

    def tree_flatten(self):
        """Leaves, and what must be equal for two programs to be the same."""
        static = (self.shape, self.boundary, self.center, self.method)
        return (self.psf, self._otf), static

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """The inverse of `tree_flatten`; leaves may be whatever a transform uses."""
        self = object.__new__(cls)
        self.psf, self._otf = leaves
        self.shape, self.boundary, self.center, self.method = static
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
        return self._linear(self._forward, x)

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
        return self._linear(self._backward, y)

    def crop(self, scene: Array) -> Array:
        """The part of a scene `[*batch, *shape]` that the blurred image shows."""
        if self.boundary != "valid":
            return scene
        return visible(scene, self.psf.shape, self.center)

    def _linear(self, function, image: Array) -> Array:
        """Applies a linear function of arrays as complex as the PSF."""
        if jnp.iscomplexobj(self.psf):
            return function(image.astype(jnp.result_type(image, self.psf)))
        if jnp.iscomplexobj(image):
            return function(image.real) + 1j * function(image.imag)
        return function(image)

    # Whatever lies beyond the frame is put there first; then only complete sums count.

    @property
    def _margins(self) -> list[tuple[int, int]]:
        circular_sums = self.boundary == "circular" and self.method == "fft"
        if circular_sums or self.boundary == "valid":
            return [(0, 0)] * self.psf.ndim
        return [(k - 1 - c, c) for k, c in zip(self.psf.shape, self.center)]

    @property
    def _padded(self) -> tuple[int, ...]:
        return tuple(n + lo + hi for n, (lo, hi) in zip(self.shape, self._margins))

    @property
    def _frame(self) -> tuple[int, ...]:
        """Of the transforms."""
        if self.boundary == "circular":
            return self.shape
        return tuple(fourier.fast_size(n) for n in self._padded)

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
        real = not jnp.iscomplexobj(x)
        spectrum = fourier.transform(self._pad(x), self._frame) * self._otf
        sums = fourier.inverse(spectrum, self._frame, real=real)
        if self.boundary == "circular":
            return sums
        kept = [slice(k - 1, k - 1 + m) for k, m in self._complete]
        return sums[(..., *kept)]

    def _backward(self, y: Array) -> Array:
        if self.method == "direct":
            kernel = jnp.conj(self._kernel())
            x = conv_transpose(y[..., None], kernel, padding="VALID")[..., 0]
            return self._pad(x, transpose=True)
        real = not jnp.iscomplexobj(y)
        if self.boundary != "circular":
            after = zip(self._frame, self._complete)
            margins = [(k - 1, frame - (k - 1) - m) for frame, (k, m) in after]
            y = pad(y, [(0, 0)] * (y.ndim - self.psf.ndim) + margins)
        spectrum = fourier.transform(y, self._frame) * jnp.conj(self._otf)
        x = fourier.inverse(spectrum, self._frame, real=real)
        if self.boundary == "circular":
            return x
        x = x[(..., *(slice(n) for n in self._padded))]
        return self._pad(x, transpose=True)

    @property
    def _complete(self) -> list[tuple[int, int]]:
        """Per axis, size of the PSF and number of complete sums."""
        return list(zip(self.psf.shape, self.output_shape))
