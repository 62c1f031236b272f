"""Names of parts of a data set: "train", "all[:80%]", "test[100:200]"."""

import re

_SPLIT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<start>[^:\]]*):(?P<stop>[^:\]]*)\])?")
_BOUND = re.compile(r"-?\d+%?")


def parse_split(split: str) -> tuple[str, str, str]:
    """The name, and the two bounds ("" where open).

    Raises:
      ValueError: split is not `NAME` or `NAME[start:stop]`, bounds in examples or %.

    >>> parse_split("all[:80%]")
    ('all', '', '80%')
    """
    match = _SPLIT.fullmatch(split.strip())
    bounds = (match["start"] or "", match["stop"] or "") if match else ("",)
    if match is None or not all(b == "" or _BOUND.fullmatch(b) for b in bounds):
        raise ValueError(
            f"split {split!r}: must be NAME or NAME[start:stop], with numbers of "
            "examples or per cents, e.g. train, all[:80%], all[80%:]"
        )
    return match["name"], *bounds


def split_slice(start: str, stop: str, length: int) -> slice:
    """Bounds of `parse_split` as a slice of a sequence of that length.

    >>> split_slice("", "80%", 7)
    slice(None, 6, None)
    """
    return slice(_bound(start, length), _bound(stop, length))


def _bound(text: str, length: int) -> int | None:
    if not text:
        return None
    if text.endswith("%"):
        return round(int(text[:-1]) * length / 100)
    return int(text)
