"""Sizes, against brute force over the definition."""

import itertools

import pytest

from jdeconv.ops import conv_output_size, conv_transpose_output_sizes
from jdeconv.ops.geometry import PADDING_MODES, conv_transpose_axes
from tests.ops.oracles import margins

CASES = list(
    itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (1, 2), (*PADDING_MODES, 0, 1, 2))
)


def forward_size(n, window, stride, dilation, padding):
    """The definition, or None where it has no output."""
    k = (window - 1) * dilation + 1
    low, high = margins(padding, 0, n, k, stride)
    if padding == "REFLECT" and n < max(low, high) + 1:
        return None
    size = (n + low + high - k) // stride + 1
    return size if size >= 1 else None


def test_conv_output_size_is_the_definition():
    for window, stride, dilation, padding in CASES:
        for n in range(1, 12):
            expected = forward_size(n, window, stride, dilation, padding)
            options = {
                "strides": stride,
                "padding": padding,
                "kernel_dilation": dilation,
            }
            if expected is None:
                with pytest.raises(ValueError, match="size"):
                    conv_output_size(n, window, **options)
            else:
                assert conv_output_size(n, window, **options) == expected


def test_transpose_sizes_are_all_the_sizes_that_go_forward():
    for window, stride, dilation, padding in CASES:
        for o in range(1, 6):
            expected = tuple(
                n
                for n in range(1, 40)
                if forward_size(n, window, stride, dilation, padding) == o
            )
            sizes = conv_transpose_output_sizes(
                o, window, strides=stride, padding=padding, kernel_dilation=dilation
            )
            assert sizes == expected, (window, stride, dilation, padding, o)


def test_exactly_stride_many_sizes_share_one_output():
    assert len(conv_transpose_output_sizes(5, 4, strides=3, padding=1)) == 3
    assert conv_transpose_output_sizes((5, 4), (3, 3), strides=(2, 1)) == (
        (9, 10),
        (4,),
    )


@pytest.mark.parametrize(
    ("padding", "default"),
    [("SAME", 10), ("CIRCULAR", 10), ("CAUSAL", 10), ("VALID", 11), (1, 9), (0, 11)],
)
def test_default_size_is_keras_or_pytorch(padding, default):
    (axis,) = conv_transpose_axes((5,), (3,), strides=2, padding=padding)
    assert axis.input_size == default


def test_size_that_no_conv_has_is_refused_with_the_legal_ones():
    with pytest.raises(ValueError, match=r"output_size=12.*Legal sizes: 9, 10"):
        conv_transpose_axes((5,), (3,), strides=2, output_size=12)
    with pytest.raises(ValueError, match=r"output_padding=2.*Legal sizes: 9, 10"):
        conv_transpose_axes((5,), (3,), strides=2, padding=1, output_padding=2)
    with pytest.raises(ValueError, match="one of the two"):
        conv_transpose_axes(
            (5,), (3,), strides=2, padding=1, output_padding=1, output_size=10
        )
    with pytest.raises(ValueError, match="output_size="):
        conv_transpose_axes((5,), (3,), strides=2, output_padding=1)
    with pytest.raises(ValueError, match="margins are too large"):
        conv_transpose_axes((1,), (3,), strides=1, padding=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strides": 0}, "strides=0"),
        ({"strides": (1, 2)}, r"strides=\(1, 2\)"),
        ({"strides": 1.5}, "strides=1.5"),
        ({"kernel_dilation": 0}, "kernel_dilation=0"),
        ({"padding": "FULL"}, "padding='FULL'.*SAME, VALID"),
        ({"padding": -1}, "padding=-1"),
        ({"padding": (1, 2)}, r"padding=\(1, 2\)"),
        ({"padding": ((1, 2, 3),)}, "padding="),
        ({"padding": 1.0}, r"padding=1\.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        conv_output_size(9, 3, **arguments)
