"""What a lowering is asked for, in numbers: shapes, and what they imply. No arrays."""

import math
from typing import NamedTuple

from jax import Array

from jdeconv.ops.geometry import Axis

_CHUNK_BYTES = 4 << 20  # of windows at a time: what two cores' caches hold
_LONG_ENOUGH = 8  # channels that are worth a copy of their own


class Problem(NamedTuple):
    """y `[batch, *o, groups * group_out]`, kernel `[*window, group_in, out]`, and x."""

    batch: int
    axes: tuple[Axis, ...]
    groups: int
    group_in: int
    group_out: int
    itemsize: int

    @property
    def multiply_adds(self) -> int:
        """Of each of the three computations: every entry of y meets every tap."""
        return self.sites * self.taps * self.group_in * self.group_out * self.groups

    @property
    def sites(self) -> int:
        """Entries of y, without its channels."""
        return self.batch * math.prod(a.output_size for a in self.axes)

    @property
    def taps(self) -> int:
        """Of the window, over all axes."""
        return math.prod(a.window for a in self.axes)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Per axis, how many blocks of s positions the window fills or begins."""
        return tuple(-(-a.span // a.stride) for a in self.axes)

    @property
    def block_taps(self) -> int:
        """Of a window filled up to whole blocks."""
        return math.prod(m * a.stride for m, a in zip(self.blocks, self.axes))

    @property
    def x_bytes(self) -> int:
        """Size of x."""
        sizes = math.prod(a.input_size for a in self.axes)
        return self.batch * sizes * self.group_in * self.groups * self.itemsize

    # How `matmul` cuts its windows.

    @property
    def cuts_blocks(self) -> bool:
        """Blocks, unless they compute many zeros and a tap alone is worth a copy."""
        if self.taps > 64:
            return True
        return self.block_taps <= 1.25 * self.taps or self.group_in < _LONG_ENOUGH

    @property
    def pieces(self) -> int:
        """That a window is cut into."""
        return math.prod(self.blocks) if self.cuts_blocks else self.taps

    @property
    def window_taps(self) -> int:
        """Taps that `matmul` computes per window."""
        return self.block_taps if self.cuts_blocks else self.taps

    @property
    def windows_bytes(self) -> int:
        """All windows of one group's x side by side."""
        return self.sites * self.window_taps * self.group_in * self.itemsize

    @property
    def chunks(self) -> int:
        """Parts of the batch whose windows fit the cache: a divisor of the batch."""
        # Windows that do not overlap are x itself: nothing is held but the result.
        room = _CHUNK_BYTES * (4 if math.prod(self.blocks) == 1 else 1)
        wanted = -(-self.windows_bytes // room)
        if wanted <= 2 or self.batch <= 1:
            return 1
        divisors = (n for n in range(wanted, self.batch) if self.batch % n == 0)
        return next(divisors, self.batch)


def problem(y: Array, kernel: Array, axes: tuple[Axis, ...], groups: int) -> Problem:
    """The problem of T(y, kernel); of y the batch and dtype alone are looked at."""
    return Problem(
        batch=y.shape[0],
        axes=axes,
        groups=groups,
        group_in=kernel.shape[-2],
        group_out=kernel.shape[-1] // groups,
        itemsize=y.dtype.itemsize,
    )
