"""Split names."""

import pytest

from jdeconv.data.sources.splits import parse_split, split_slice


@pytest.mark.parametrize(
    "split, expected",
    [
        ("train", list(range(10))),
        ("train[:80%]", list(range(8))),
        ("train[80%:]", [8, 9]),
        ("train[2:5]", [2, 3, 4]),
        ("train[-3:]", [7, 8, 9]),
        ("train[25%:50%]", [2, 3, 4]),
    ],
)
def test_slices(split, expected):
    name, start, stop = parse_split(split)
    assert name == "train"
    assert list(range(10))[split_slice(start, stop, 10)] == expected


@pytest.mark.parametrize("n", [1, 7, 10, 33])
def test_two_parts_make_the_whole(n):
    first = range(n)[split_slice("", "80%", n)]
    second = range(n)[split_slice("80%", "", n)]
    assert [*first, *second] == list(range(n))


@pytest.mark.parametrize(
    "split", ["", "train[", "train[a:]", "train[5]", "a b", "t[:1.5]"]
)
def test_illegal(split):
    with pytest.raises(ValueError, match="must be NAME"):
        parse_split(split)
