"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pathlib

import pytest

import jdeconv

PACKAGE = pathlib.Path(jdeconv.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )
    for file in PACKAGE.rglob("*.py")
    if ">>>" in file.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted and not failed
