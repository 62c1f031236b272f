"""Window arithmetic: from window, strides, padding and dilation to sizes and margins.

Integers only; nothing here touches an array. Along one axis, with

    k = (window - 1) * dilation + 1      the span of the window
    s                                    the stride
    n -> o                               sizes before and after the forward conv

the forward conv reads, for every output j in 0 .. o - 1, the k positions that start
at j * s in the input extended by a margin of `lo` on the left and `hi` on the right:

    lo = 1, n = 5, hi = 1, k = 3, s = 2  ->  o = 3

    input      .  a  b  c  d  e  .
    j = 0     [-------]
    j = 1           [-------]
    j = 2                 [-------]

The transposed conv walks the same picture backwards, from o to n. As `//` forgets
the remainder, s different n share one o: a size has to be named or a default taken.
The relations are those of Dumoulin and Visin, "A guide to convolution arithmetic for
deep learning" (2016), relations 6 (forward) and 14 (transposed), with dilation.
"""

import operator
from collections.abc import Sequence
from typing import NamedTuple

IntOrInts = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]

ZERO_MODES = ("SAME", "VALID", "CAUSAL")
FILL_MODES = ("CIRCULAR", "REFLECT", "EDGE")  # margins filled from the image itself
PADDING_MODES = ZERO_MODES + FILL_MODES


class Axis(NamedTuple):
    """The geometry of one spatial axis, resolved: every number that a lowering needs.

    `low` and `high` are the margins of the forward conv: zeros when `fill` is None,
    else filled by wrapping ("circular"), mirroring ("reflect") or repeating ("edge").
    """

    window: int
    stride: int
    dilation: int
    low: int
    high: int
    input_size: int  # n, the size the forward conv receives
    output_size: int  # o, the size it returns
    fill: str | None

    @property
    def span(self) -> int:
        """Distance from the first to the last position of the window, both counted."""
        return span(self.window, self.dilation)

    @property
    def padded_size(self) -> int:
        """Size of the input with its margins."""
        return self.input_size + self.low + self.high

    def without_fill(self) -> "Axis":
        """The same conv seen from the already filled input: no margins left."""
        if self.fill is None:
            return self
        return self._replace(low=0, high=0, input_size=self.padded_size, fill=None)


def span(window: int, dilation: int) -> int:
    """(window - 1) * dilation + 1."""
    return (window - 1) * dilation + 1


def per_axis(value: IntOrInts, num_axes: int, name: str, minimum: int) -> tuple:
    """One int per spatial axis from an int (repeated) or a sequence of ints.

    Raises:
      ValueError: a wrong count, a non-integer, or a value below `minimum`.
    """
    values = value if isinstance(value, Sequence) else (value,) * num_axes
    legal = f"an int >= {minimum}, or {num_axes} of them (one per spatial axis)"
    try:
        ints = tuple(operator.index(v) for v in values)
    except TypeError:
        raise ValueError(f"{name}={value!r}: must be {legal}") from None
    if len(ints) != num_axes or any(v < minimum for v in ints):
        raise ValueError(f"{name}={value!r}: must be {legal}")
    return ints


def _explicit_margins(
    padding: int | Sequence, num_axes: int
) -> tuple[tuple[int, int], ...]:
    legal = (
        f"one of {', '.join(PADDING_MODES)}, an int >= 0, or for each of the "
        f"{num_axes} spatial axes an int or a (low, high) pair of ints >= 0"
    )
    entries = padding if isinstance(padding, Sequence) else (padding,) * num_axes
    try:
        pairs = tuple(
            tuple(operator.index(v) for v in p)
            if isinstance(p, Sequence)
            else (operator.index(p),) * 2
            for p in entries
        )
    except TypeError:
        raise ValueError(f"padding={padding!r}: must be {legal}") from None
    if len(pairs) != num_axes or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ValueError(f"padding={padding!r}: must be {legal}")
    return tuple((low, high) for low, high in pairs)


def _mode(padding: Padding) -> str | None:
    """The upper-case name of a padding mode, None for explicit margins."""
    if not isinstance(padding, str):
        return None
    if padding.upper() not in PADDING_MODES:
        raise ValueError(
            f"padding={padding!r}: must be one of {', '.join(PADDING_MODES)}, "
            "an int, or one int or (low, high) pair per spatial axis"
        )
    return padding.upper()


class _Rule(NamedTuple):
    """What is asked for on one axis, before any size is known."""

    window: int
    stride: int
    dilation: int
    mode: str  # "EXPLICIT" or one of PADDING_MODES
    explicit: tuple[int, int]

    @property
    def keeps_remainder(self) -> bool:
        """Whether o follows from explicit margins, not from o = ceil(n / s)."""
        return self.mode in ("EXPLICIT", "VALID")

    def margins(self, n: int) -> tuple[int, int]:
        """(lo, hi) for input size n; only SAME depends on n."""
        k = span(self.window, self.dilation)
        if self.mode == "SAME":
            total = max((-(-n // self.stride) - 1) * self.stride + k - n, 0)
            return total // 2, total - total // 2
        if self.mode == "CAUSAL":
            return k - 1, 0
        if self.mode in FILL_MODES:
            return (k - 1) // 2, k // 2
        return self.explicit

    def smallest_input(self, o: int) -> int:
        """n0: the sizes n0 .. n0 + s - 1 go to o, less those REFLECT forbids or < 1."""
        if self.keeps_remainder:
            k = span(self.window, self.dilation)
            return (o - 1) * self.stride + k - sum(self.explicit)
        return (o - 1) * self.stride + 1

    def legal_inputs(self, o: int) -> range:
        """All n that the forward conv takes to o, ascending."""
        first = self.smallest_input(o)
        least = 1
        if self.mode == "REFLECT":
            least = span(self.window, self.dilation) // 2 + 1
        return range(max(first, least), first + self.stride)

    def axis(self, n: int, o: int) -> Axis:
        fill = self.mode.lower() if self.mode in FILL_MODES else None
        low, high = self.margins(n)
        return Axis(self.window, self.stride, self.dilation, low, high, n, o, fill)


def _rules(
    window: Sequence[int],
    strides: IntOrInts,
    padding: Padding,
    kernel_dilation: IntOrInts,
) -> list[_Rule]:
    num_axes = len(window)
    strides = per_axis(strides, num_axes, "strides", 1)
    dilation = per_axis(kernel_dilation, num_axes, "kernel_dilation", 1)
    mode = _mode(padding)
    explicit = ((0, 0),) * num_axes
    if mode is None:
        assert not isinstance(padding, str)
        mode, explicit = "EXPLICIT", _explicit_margins(padding, num_axes)
    return [
        _Rule(w, s, d, mode, e)
        for w, s, d, e in zip(window, strides, dilation, explicit)
    ]


def conv_axes(
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
) -> tuple[Axis, ...]:
    """Resolves the forward conv of an input of the given spatial sizes.

    Raises:
      ValueError: an illegal argument, a window that does not fit (empty output), or an
        image too small for REFLECT (n < max(lo, hi) + 1).
    """
    axes = []
    rules = _rules(window, strides, padding, kernel_dilation)
    for i, (n, rule) in enumerate(zip(sizes, rules)):
        low, high = rule.margins(n)
        k = span(rule.window, rule.dilation)
        if rule.mode == "REFLECT" and n < max(low, high) + 1:
            raise ValueError(
                f"padding='REFLECT' mirrors {max(low, high)} positions and needs a "
                f"size of at least {max(low, high) + 1}; spatial axis {i} has {n}"
            )
        o = (n + low + high - k) // rule.stride + 1
        if n < 1 or o < 1:
            raise ValueError(
                f"empty output: spatial axis {i} has size {n}, with padding="
                f"{padding!r} {n + low + high}, and the window spans {k}"
            )
        axes.append(rule.axis(n, o))
    return tuple(axes)


def conv_transpose_axes(
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
    output_size: IntOrInts | None = None,
    output_padding: IntOrInts | None = None,
) -> tuple[Axis, ...]:
    """Resolves the transposed conv of an array of the given spatial sizes.

    The axes returned are those of the forward conv it transposes: `output_size` of an
    Axis is the size given here and `input_size` the size that results.

    Raises:
      ValueError: an illegal argument, or an output size that the forward conv with
        these arguments would not take to `sizes`; the message names the legal ones.
    """
    rules = _rules(window, strides, padding, kernel_dilation)
    if output_size is not None and output_padding is not None:
        raise ValueError(
            f"output_size={output_size!r} and output_padding={output_padding!r}: "
            "give one of the two, they name the same thing"
        )
    if output_padding is not None and not rules[0].keeps_remainder:
        raise ValueError(
            f"output_padding={output_padding!r} goes with int, pair or VALID padding "
            f"only; with padding={padding!r} name the size by output_size="
        )
    if any(o < 1 for o in sizes):
        raise ValueError(f"empty input: the spatial sizes are {tuple(sizes)}")
    if output_size is not None:
        asked = f"output_size={output_size!r}"
        wanted = per_axis(output_size, len(rules), "output_size", 1)
    elif output_padding is not None:
        asked = f"output_padding={output_padding!r}"
        extra = per_axis(output_padding, len(rules), "output_padding", 0)
        wanted = tuple(r.smallest_input(o) + e for r, o, e in zip(rules, sizes, extra))
    else:
        asked = "the default output size"
        wanted = tuple(
            r.smallest_input(o) if r.keeps_remainder else o * r.stride
            for r, o in zip(rules, sizes)
        )
    for i, (n, o, rule) in enumerate(zip(wanted, sizes, rules)):
        legal = rule.legal_inputs(o)
        if n not in legal:
            names = ", ".join(map(str, legal)) or "none, the margins are too large"
            raise ValueError(
                f"{asked} asks for size {n} on spatial axis {i}: no conv with window "
                f"{rule.window}, stride {rule.stride}, dilation {rule.dilation} and "
                f"padding {padding!r} takes it to {o}. Legal sizes: {names}"
            )
    return tuple(r.axis(n, o) for r, n, o in zip(rules, wanted, sizes))


def conv_output_size(
    size: IntOrInts,
    window: IntOrInts,
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
) -> int | tuple[int, ...]:
    """The size `conv` returns: o = (n + lo + hi - k) // s + 1.

    Args:
      size: spatial size(s) of the input. An int answers for one axis by an int.
      window: kernel size, an int or one per axis.
      strides, padding, kernel_dilation: as in `ops.conv`.

    Returns:
      An int for an int `size`, else a tuple with one int per axis.

    >>> conv_output_size(28, 3, strides=2)
    14
    >>> conv_output_size((28, 30), 3, padding="VALID")
    (26, 28)
    """
    sizes, windows = _sizes_and_windows(size, window)
    axes = conv_axes(
        sizes,
        windows,
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
    )
    outputs = tuple(axis.output_size for axis in axes)
    return outputs if isinstance(size, Sequence) else outputs[0]


def conv_transpose_output_sizes(
    size: IntOrInts,
    window: IntOrInts,
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
) -> tuple:
    """All sizes `conv_transpose` can return: the n with conv_output_size(n) == size.

    Args:
      size: spatial size(s) of what `conv_transpose` receives.
      window, strides, padding, kernel_dilation: as in `conv_output_size`.

    Returns:
      For an int `size` the legal sizes, ascending; else one such tuple per axis.

    >>> conv_transpose_output_sizes(14, 3, strides=2)
    (27, 28)
    >>> conv_transpose_output_sizes(14, 4, strides=2, padding=1)
    (28, 29)
    """
    sizes, windows = _sizes_and_windows(size, window)
    rules = _rules(windows, strides, padding, kernel_dilation)
    legal = tuple(tuple(r.legal_inputs(o)) for r, o in zip(rules, sizes))
    return legal if isinstance(size, Sequence) else legal[0]


def _sizes_and_windows(size: IntOrInts, window: IntOrInts) -> tuple[tuple, tuple]:
    num_axes = len(size) if isinstance(size, Sequence) else 1
    sizes = per_axis(size, num_axes, "size", 1)
    return sizes, per_axis(window, num_axes, "window", 1)
