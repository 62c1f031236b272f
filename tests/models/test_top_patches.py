"""The strongest activations of a data set, and the patches that units see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import figures, models, ops
from jdeconv.ops.geometry import conv_axes


def field(size, layers):
    """Receptive fields along one axis, by the arithmetic of ops.geometry.

    layers: (window, stride, padding, dilation), the first next to the image.
    """
    axes = []
    for window, stride, padding, dilation in layers:
        (axis,) = conv_axes(
            [size if not axes else axes[-1].output_size],
            [window],
            strides=stride,
            padding=padding,
            kernel_dilation=dilation,
        )
        axes.append(axis)
    fields = []
    for j in range(axes[-1].output_size):
        first = last = j
        for axis in reversed(axes):
            first = max(first * axis.stride - axis.low, 0)
            last = last * axis.stride - axis.low + axis.span - 1
            last = min(last, axis.input_size - 1)
        fields.append([first, last + 1])
    return fields


def chain(layers):
    def features(x):
        for number, (window, stride, padding, dilation) in enumerate(layers):
            if number % 2:
                x = ops.max_pool(x, window, strides=stride, padding=padding)
            else:
                kernel = np.ones((window, window, 1, 1), np.float32)
                x = ops.conv(
                    x, kernel, strides=stride, padding=padding, kernel_dilation=dilation
                )
            x = jax.nn.relu(x)
        return x

    return features


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 1, "SAME", 1), (2, 2, "VALID", 1), (3, 1, "VALID", 1)],
        [(5, 2, 1, 1), (3, 2, "SAME", 1)],
        [(3, 1, "VALID", 2)],
    ],
    ids=str,
)
def test_receptive_fields_are_those_of_the_geometry(layers):
    rows, columns = models.receptive_fields(chain(layers), (17, 20, 1), batch_size=8)
    assert rows.tolist() == field(17, layers)
    assert columns.tolist() == field(20, layers)


def test_receptive_field_through_a_transposed_convolution():
    """A unit sees the entries whose window, in the transposed conv, covers it."""
    model = models.ConvDeconvNet((6, 7, 1), num_classes=2, features=2, rngs=nnx.Rngs(0))
    # Traced before, with what `auto` takes on this machine.
    features = jax.jit(models.layer_output(model, "deconv"))
    features(jnp.zeros((32, 6, 7, 1)))
    rows, _ = models.receptive_fields(features, (6, 7, 1))
    small = 4  # rows after the first conv, 3x3 VALID; the deconv makes 8 of them
    (axis,) = conv_axes([8], [3], strides=2)
    for j, (first, last) in enumerate(rows):
        seen = [i for i in range(small) if 0 <= j + axis.low - 2 * i < 3]
        assert (first, last) == (min(seen), max(seen) + 3)
    whole = models.receptive_fields(models.layer_output(model, "dense"), (6, 7, 1))
    assert [f.tolist() for f in whole] == [[[0, 6]], [[0, 7]]]


def test_strongest_is_that_of_all_images_at_once(rng):
    images = rng.normal(size=(23, 6, 5, 3)).astype(np.float32)
    images[11] = images[4]  # equal activations: the first comes first
    batches = [images[:10], images[10:20], images[20:]]
    found = models.strongest(lambda x: x, batches, count=4)
    maxima = images.max((1, 2)).T
    order = np.argsort(-maxima, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(found.examples, order)
    np.testing.assert_array_equal(found.values, np.take_along_axis(maxima, order, 1))
    np.testing.assert_array_equal(found.images, images[order])
    for c, k in np.ndindex(3, 4):
        at = (c, k, *found.positions[c, k], c)
        assert found.images[at] == found.values[c, k]
    some = models.strongest(lambda x: x, batches, channels=[2, 0], count=30)
    assert some.examples.shape == (2, 23)
    np.testing.assert_array_equal(some.examples[:, :4], found.examples[[2, 0]])
    with pytest.raises(ValueError, match="no images"):
        models.strongest(lambda x: x, [])


def test_top_patches_show_what_the_unit_sees(rng):
    """A conv matched to a pattern finds the pattern, and projects to the filter."""
    pattern = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32)
    images = rng.uniform(size=(12, 9, 9, 1)).astype(np.float32) / 8
    images[7, 2:5, 4:7, 0] = pattern
    images[3, 0:2, 0:2, 0] = pattern[1:, 1:]  # half of it, in the corner

    def features(x):
        return jax.nn.relu(ops.conv(x, pattern[..., None, None]))

    top = models.top_patches(features, [images], channels=[0], count=2)
    assert top.examples.tolist() == [[7, 3]]
    np.testing.assert_allclose(top.patches[0, 0, ..., 0], pattern)
    np.testing.assert_allclose(top.projections[0, 0, ..., 0], pattern)
    np.testing.assert_array_equal(np.isnan(top.patches), np.isnan(top.projections))
    sheet = figures.top_patches(top.patches, top.projections)
    np.testing.assert_array_equal(sheet[:3, :3, 0], 255 * pattern)
    assert (sheet[0:3, 10:13, 0] == np.where(pattern > 0, 255, 128)).all()


def test_units_at_the_border_are_aligned():
    images = np.zeros((1, 8, 8, 1), np.float32)
    images[0, 0, 7] = 1

    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1

    def features(x):
        return ops.conv(x, kernel)

    top = models.top_patches(features, [images], channels=[0], count=1)
    beyond = np.zeros((3, 3), bool)
    beyond[0, :] = beyond[:, 2] = True
    np.testing.assert_array_equal(np.isnan(top.patches[0, 0, ..., 0]), beyond)
    assert top.patches[0, 0, 1, 1, 0] == 1
