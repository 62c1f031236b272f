"""What a lowering is asked for, in numbers: shapes, and what they imply. No arrays."""

import itertools
import math
from typing import NamedTuple

from jax import Array

from jdeconv.ops.geometry import Axis

_CHUNK_BYTES = 4 << 20  # of windows at a time: what two cores' caches hold


class Place(NamedTuple):
    """Of a piece of a window, on one axis."""

    tap: int  # the first one
    taps: int  # within a block of s positions
    block: int
    offset: int  # in the block


class Problem(NamedTuple):
    """y `[batch, *o, groups * group_out]`, kernel `[*window, group_in, out]`, and x."""

    batch: int
    axes: tuple[Axis, ...]
    groups: int
    group_in: int
    group_out: int
    itemsize: int
    forward: bool = False  # asked for conv(x, kernel), not T(y, kernel)

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
    def x_bytes(self) -> int:
        """Size of x."""
        sizes = math.prod(a.input_size for a in self.axes)
        return self.batch * sizes * self.group_in * self.groups * self.itemsize

    @property
    def y_bytes(self) -> int:
        """Size of y."""
        return self.sites * self.group_out * self.groups * self.itemsize

    @property
    def mirrored(self) -> "Problem":
        """The same computation at stride 1 as a forward conv, by the turned kernel."""
        axes = tuple(
            a._replace(
                low=a.span - 1 - a.low,
                high=a.span - 1 - a.high,
                input_size=a.output_size,
                output_size=a.input_size,
            )
            for a in self.axes
        )
        return self._replace(
            axes=axes, group_in=self.group_out, group_out=self.group_in
        )

    # How `matmul` cuts its windows.

    @property
    def from_y(self) -> bool:
        """Whether windows are cut of y: at stride 1 of either, so of the thinner."""
        return self.group_out < self.group_in and all(a.stride == 1 for a in self.axes)

    @property
    def places(self) -> list[tuple[Place, ...]]:
        """The pieces that a window is cut into, per axis."""
        return list(itertools.product(*map(_places, self.axes)))

    @property
    def pieces(self) -> int:
        """That a window is cut into."""
        return math.prod(len(_places(a)) for a in self.axes)

    @property
    def whole(self) -> bool:
        """Whether each piece fills a block: the window is some strides long."""
        return all(a.dilation == 1 and a.window % a.stride == 0 for a in self.axes)

    @property
    def apart(self) -> bool:
        """Whether to add up a product per piece costs less than to join the pieces."""
        return self.group_out * self.pieces <= self.group_in * self.taps

    @property
    def windows_bytes(self) -> int:
        """All windows of one group's x side by side."""
        return self.sites * self.taps * self.group_in * self.itemsize

    @property
    def parts(self) -> int:
        """That the windows must be made in to fit the cache."""
        # Windows that do not overlap are x itself: nothing is held but the result.
        room = _CHUNK_BYTES * (4 if math.prod(self.blocks) == 1 else 1)
        parts = -(-self.windows_bytes // room)
        return parts if parts > 2 else 1

    @property
    def chunks(self) -> int:
        """Parts of the batch."""
        return equal_parts(self.batch, self.parts)

    @property
    def slabs(self) -> int:
        """That each image is cut into along its first axis, where one is too large."""
        per_image = -(-self.parts // max(self.batch, 1))
        if per_image <= 8:  # what the allocator keeps between runs
            return 1
        # Neighbours share entries of y: the windows of these are made twice.
        most = self.axes[0].output_size // (4 * self.blocks[0])
        return max(1, min(per_image, most))

    @property
    def bytes_at_once(self) -> int:
        """Windows in memory at the same time."""
        cut = self.of_slabs() if self.slabs > 1 else self
        return cut.windows_bytes // cut.chunks

    def of_slabs(self) -> "Problem":
        """The problem whose batch are the slabs.

        A slab is some blocks of x, and all entries of y that reach them.
        """
        a = self.axes[0]
        blocks = -(-a.input_size // (a.stride * self.slabs))
        # Entry j reaches from j s - lo to j s - lo + span - 1.
        first = -((a.span - 1 - a.low) // a.stride)
        last = (blocks * a.stride - 1 + a.low) // a.stride
        low, size = a.low - first * a.stride, blocks * a.stride
        slab = a._replace(
            low=low,
            high=(last - first) * a.stride + a.span - low - size,
            input_size=size,
            output_size=last - first + 1,
        )
        axes = (slab, *self.axes[1:])
        return self._replace(batch=self.batch * self.slabs, axes=axes)


def problem(
    image: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    forward: bool = False,
) -> Problem:
    """Of T(image, kernel), or of conv; of the image, batch and dtype are looked at."""
    return Problem(
        batch=image.shape[0],
        axes=axes,
        groups=groups,
        group_in=kernel.shape[-2],
        group_out=kernel.shape[-1] // groups,
        itemsize=image.dtype.itemsize,
        forward=forward,
    )


def window_of(place: tuple[Place, ...]) -> tuple[slice, ...]:
    """The taps of a piece, as an index into the window."""
    return tuple(slice(p.tap, p.tap + p.taps) for p in place)


def margins_of(
    place: tuple[Place, ...], axes: tuple[Axis, ...], first: list[int], last: list[int]
) -> list[tuple[int, int, int]]:
    """What to pad a piece with, `[*(o, taps)]`, to blocks first .. last `[*(m, s)]`.

    Block m of entry j of y is block j + m of x.
    """
    margins = []
    for p, a, f, e in zip(place, axes, first, last, strict=True):
        margins.append((p.block - f, e - (a.output_size - 1) - p.block, 0))
        margins.append((p.offset, a.stride - p.offset - p.taps, 0))
    return margins


def equal_parts(batch: int, least: int) -> int:
    """Into how many a batch is cut: the least divisor not below `least`, at most all.

    >>> [equal_parts(12, least) for least in (1, 5, 20)]
    [1, 6, 12]
    """
    divisors = (n for n in range(max(least, 1), batch) if batch % n == 0)
    return next(divisors, max(batch, 1))


def _places(a: Axis) -> list[Place]:
    """The pieces of a window on this axis: of s taps, or of one if it is dilated."""
    if a.dilation > 1:
        positions = [t * a.dilation for t in range(a.window)]
        return [Place(t, 1, *divmod(p, a.stride)) for t, p in enumerate(positions)]
    starts = range(0, a.window, a.stride)
    return [Place(t, min(a.stride, a.window - t), t // a.stride, 0) for t in starts]
