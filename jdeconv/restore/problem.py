"""What every solver is asked: checked images, and the frame of the scene."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.blur import BOUNDARIES, Blur, Operator, default_center

LIKELIHOODS = ("gaussian", "poisson")
BOUNDARY_NAMES = ("unknown", *(b for b in BOUNDARIES if b != "valid"))


class Solution(NamedTuple):
    """What an iterative solver returns.

    Attributes:
      image: the estimate, of the measured image's shape.
      num_iters: iterations done, an integer scalar.
      history: `[num_iters, *batch]`, what the solver minimises, at the estimate that
        each iteration starts from; NaN beyond the last one.
    """

    image: Array
    num_iters: Array
    history: Array


B_co = TypeVar("B_co", bound=Operator, covariant=True)


class Measurement(NamedTuple, Generic[B_co]):
    """A measured image, channels among its batch axes, and how it came about."""

    image: Array
    blur: B_co
    channel_axis: int | None

    def to_image(self, scene: Array) -> Array:
        """What the measured image shows of the scene, channels moved back."""
        return self.to_channels(self.blur.crop(scene))

    def to_channels(self, image: Array) -> Array:
        """An array of the measured image's size, its channels moved back."""
        if self.channel_axis is None:
            return image
        return jnp.moveaxis(image, -self.blur.num_axes - 1, self.channel_axis)


def measurement(
    y: Array,
    psf: Array | Operator,
    *,
    boundary: str,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Measurement[Operator]:
    """As `convolution`, or by any operator in place of the PSF, used as it is.

    Raises:
      ValueError: as `convolution`; an image that is not of the operator's output shape,
        a boundary or centre beside an operator, which has its own.
    """
    if not isinstance(psf, Operator):
        return convolution(
            y, psf, boundary=boundary, center=center, channel_axis=channel_axis
        )
    if boundary != "unknown" or center is not None:
        raise ValueError(
            f"boundary={boundary!r}, center={center!r}: an operator has its own; "
            "leave them out"
        )
    return _by_operator(jnp.asarray(y), psf, channel_axis)


def convolution(
    y: Array,
    psf: Array,
    *,
    boundary: str,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Measurement[Blur]:
    """Checks what solvers share. The PSF is normalised to sum 1.

    With boundary "unknown" the scene is larger than the measured image by psf - 1: all
    of it that light came from, and the blur is the "valid" one, which maps the one to
    the other and assumes nothing.

    Raises:
      ValueError: an image that is no float, has too few axes, is smaller than the PSF,
        or has pixels that are NaN or infinite (counted); a PSF with such values, with
        negative ones or a sum of zero; an unknown boundary; a channel axis that y has
        not; an operator. Values are looked at where they are there, not inside jit.
    """
    if isinstance(psf, Operator):
        raise ValueError(
            f"psf is a {type(psf).__name__}: this solver works on spectra and needs an "
            "array; richardson_lucy takes operators"
        )
    y, psf = jnp.asarray(y), jnp.asarray(psf)
    y = channels_to_batch(y, channel_axis, psf.ndim)
    check(y, psf, boundary)
    check_finite(y)
    shape = y.shape[y.ndim - psf.ndim :]
    if boundary == "unknown":
        shape = tuple(n + k - 1 for n, k in zip(shape, psf.shape))
        boundary = "valid"
    if center is None:
        center = default_center(psf.shape)
    psf = psf.astype(y.dtype)
    blur = Blur(psf / jnp.sum(psf), shape, boundary, center=center)
    return Measurement(y, blur, channel_axis)


def check(y: Array | jax.ShapeDtypeStruct, psf: Array, boundary: str) -> None:
    """What can be said of an image `[*batch, *spatial]` without a look at its pixels.

    Raises:
      ValueError: as `convolution`, but for pixels that are NaN or infinite.
    """
    if boundary not in BOUNDARY_NAMES:
        raise ValueError(
            f"boundary={boundary!r}: must be one of {', '.join(BOUNDARY_NAMES)}"
        )
    _check_floating("y", y)
    _check_floating("psf", psf)
    if psf.ndim == 0 or y.ndim < psf.ndim:
        raise ValueError(
            f"psf of shape {psf.shape}: must have 1 to {y.ndim} axes, the spatial ones "
            f"of y {y.shape}"
        )
    shape = y.shape[y.ndim - psf.ndim :]
    if any(k > n for k, n in zip(psf.shape, shape)) or 0 in psf.shape:
        raise ValueError(
            f"psf of shape {psf.shape}: must not be empty, nor larger than the image "
            f"{shape}"
        )
    _check_psf(psf)


def _by_operator(
    y: Array, blur: Operator, channel_axis: int | None
) -> Measurement[Operator]:
    _check_floating("y", y)
    y = channels_to_batch(y, channel_axis, blur.num_axes)
    if y.shape[max(y.ndim - blur.num_axes, 0) :] != blur.output_shape:
        raise ValueError(
            f"y of shape {y.shape}: its last axes must be the operator's "
            f"{blur.output_shape}"
        )
    check_finite(y)
    return Measurement(y, blur, channel_axis)


def channels_to_batch(y: Any, channel_axis: int | None, num_axes: int) -> Any:
    """Moves the channels of an array, of numpy or jax, to the end of its batch axes."""
    if channel_axis is None:
        return y
    if not -y.ndim <= channel_axis < y.ndim:
        raise ValueError(f"channel_axis={channel_axis}: y has shape {y.shape}")
    moveaxis = np.moveaxis if isinstance(y, np.ndarray) else jnp.moveaxis
    return moveaxis(y, channel_axis, -num_axes - 1)


def _check_floating(name: str, array: Array | jax.ShapeDtypeStruct) -> None:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"{name} of {array.dtype}: must be floating; convert it first, such as by "
            ".astype('float32') / 255"
        )


def check_finite(y: Array | np.ndarray) -> None:
    """Raises ValueError for pixels that are NaN or infinite, with their number."""
    if isinstance(y, jax.core.Tracer):
        return
    bad = y.size - int(np.count_nonzero(np.isfinite(y)))
    if bad:
        raise ValueError(
            f"y has {bad} of {y.size} pixels that are NaN or infinite: set them to a "
            "number, and their mask to 0"
        )


def check_noise(noise_std: ArrayLike | None) -> None:
    """Raises ValueError for a noise level that is negative, NaN or infinite."""
    if noise_std is None or isinstance(noise_std, jax.core.Tracer):
        return
    levels = np.asarray(noise_std, np.float64)
    if not (np.isfinite(levels) & (levels >= 0)).all():
        raise ValueError(f"noise_std={noise_std}: must be finite and >= 0")


def _check_psf(psf: Array) -> None:
    if isinstance(psf, jax.core.Tracer):
        return
    values = np.asarray(psf, np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or not values.sum() > 0:
        raise ValueError(
            "psf: must be finite, not negative and not all zero; its smallest value "
            f"is {values.min():.3g}, its sum {values.sum():.3g}"
        )
