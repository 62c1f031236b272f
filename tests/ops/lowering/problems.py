"""Problems that the tests of the choice ask about."""

from jdeconv.ops.geometry import conv_transpose_axes
from jdeconv.ops.lowering.problem import Problem


def asked(batch=128, size=14, channels=32, features=32, window=3, stride=2, groups=1):
    axes = conv_transpose_axes((size,) * 2, (window,) * 2, strides=stride)
    return Problem(batch, axes, groups, features // groups, channels // groups, 4)


VOLUME = Problem(
    1, conv_transpose_axes((32,) * 3, (3,) * 3, strides=1), 1, 32, 32, itemsize=4
)
THIN_VOLUME = VOLUME._replace(group_in=8, group_out=8)
LARGE_THIN_VOLUME = THIN_VOLUME._replace(
    axes=conv_transpose_axes((96,) * 3, (3,) * 3, strides=1)
)
LINE = Problem(32, conv_transpose_axes((512,), (4,), strides=2), 1, 32, 64, itemsize=4)
LONG = LINE._replace(axes=conv_transpose_axes((1024,), (16,), strides=8))
