"""Checkerboards of transposed convolutions: where they come from, and measuring them.

A transposed convolution whose stride does not divide its window adds up more taps at
some output positions than at others. What it makes carries a pattern with the period of
the stride, unless training has unlearned it.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv.nn import ConvTranspose
from jdeconv.ops.geometry import IntOrInts, per_axis


def all_ones_ratio(
    window: IntOrInts, strides: IntOrInts, *, kernel_dilation: IntOrInts = 1
) -> float:
    """max / min of the interior of conv_transpose(ones, ones): 1 is no checkerboard.

    A property of the geometry alone; infinite where some positions are reached by no
    tap at all.

    Args:
      window: of the kernel, an int for a square one.
      strides, kernel_dilation: as in `ops.conv_transpose`.

    Returns:
      The ratio, >= 1.

    >>> all_ones_ratio(3, 2), all_ones_ratio(4, 2)
    (4.0, 1.0)

    References:
      Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", 2016.
    """
    axes = 2 if isinstance(window, int) else len(window)
    sizes = per_axis(window, axes, "window", 1)
    steps = per_axis(strides, axes, "strides", 1)
    dilation = per_axis(kernel_dilation, axes, "kernel_dilation", 1)
    # The taps of a phase; positions of an axis meet all taps of their phase inside.
    ratio = 1.0
    for w, s, d in zip(sizes, steps, dilation):
        taps = np.bincount(np.arange(w) * d % s, minlength=s)
        ratio *= taps.max() / taps.min() if taps.min() else math.inf
    return float(ratio)


def energy(x: Array, strides: IntOrInts = 2) -> Array:
    """The share of an image's spectral energy at the harmonics of a stride.

    sum of |X(f)|^2 over f within one bin of (a / s, b / s), (a, b) != (0, 0), divided
    by the sum over all f; X is the Fourier transform of the image less its mean under a
    Hann window. A pattern that repeats every s pixels has all its energy there, white
    noise 9 (s^2 - 1) / (H W), and photographs much less; compare with real images.

    Args:
      x: `[B, H, W, C]`, floating, at least 4 s pixels on a side.
      strides: s, of the layer whose pattern is looked for (s1 s2 for a layer of
        stride s1 with one of stride s2 behind it), an int or one per axis.

    Returns:
      `[B]` in 0 .. 1; 0 for a blank image.

    Raises:
      ValueError: a stride below 2, or an image too small to tell.
    """
    steps = per_axis(strides, 2, "strides", 2)
    sizes = x.shape[1:3]
    if any(n < 4 * s for n, s in zip(sizes, steps)):
        raise ValueError(
            f"x has shape {x.shape}: the pattern of strides={strides!r} needs "
            f"{4 * steps[0]} x {4 * steps[1]} pixels or more"
        )
    rows, columns = (_harmonics(n, s) for n, s in zip(sizes, steps))
    # The pattern may be constant along one axis, but not along both.
    mean_alone = np.logical_and.outer(rows[0], columns[0])
    chosen = np.logical_and.outer(rows.any(0), columns.any(0)) & ~mean_alone
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in sizes]
    window = jnp.asarray(np.multiply.outer(*hann)[..., None], x.dtype)
    x = (x - x.mean((1, 2), keepdims=True)) * window
    power = jnp.square(jnp.abs(jnp.fft.fft2(x, axes=(1, 2)))).sum(-1)
    total = power.sum((1, 2))
    return jnp.where(chosen, power, 0.0).sum((1, 2)) / jnp.maximum(total, 1e-12)


def _harmonics(size: int, stride: int) -> np.ndarray:
    """Which bins of an axis are within one of a / stride, `[stride, size]`."""
    bins = np.arange(size)
    centres = np.arange(stride)[:, None] * size / stride
    gap = np.abs(bins - centres)
    return np.minimum(gap, size - gap) <= 1


def advice(model: nnx.Module) -> list[str]:
    """A sentence for each transposed convolution whose geometry makes a checkerboard.

    Args:
      model: any NNX module.

    Returns:
      Sentences that name the layer, its window and strides, and what has no pattern.

    >>> layer = ConvTranspose(8, 1, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> len(advice(layer)), advice(ConvTranspose(8, 1, (4, 4), 2, rngs=nnx.Rngs(0)))
    (1, [])
    """
    sentences = []
    for path, layer in nnx.iter_graph(model):
        if not isinstance(layer, ConvTranspose):
            continue
        window, strides = layer.kernel_size, layer.strides
        ratio = all_ones_ratio(window, strides, kernel_dilation=layer.kernel_dilation)
        if ratio == 1:
            continue
        shown = "x".join(map(str, window))
        steps = per_axis(strides, len(window), "strides", 1)
        better = "x".join(str(-(-w // s) * s) for w, s in zip(window, steps))
        name = ".".join(map(str, path)) or type(layer).__name__
        taps = (
            "some positions are reached by no tap"
            if math.isinf(ratio)
            else (f"some positions add up {ratio:.3g} times as many taps as others")
        )
        sentences.append(
            f"{name}: window {shown} with strides {steps}: {taps}, which makes a "
            f"checkerboard that training has to unlearn; window {better}, a sub-pixel "
            "or a resize layer has none"
        )
    return sentences
