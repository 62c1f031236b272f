"""Which cases of a test `make test` leaves to `make test-all`."""

from collections.abc import Collection, Iterable

import pytest


def fast_if(cases: Iterable, fast: Collection) -> list:
    """The cases as parameters, all but those in `fast` marked slow."""
    cases = list(cases)
    for case in fast:  # one that is not there would leave its test out unseen
        assert case in cases, case
    return [
        case if case in fast else pytest.param(case, marks=pytest.mark.slow)
        for case in cases
    ]
