"""Fixtures shared by all tests."""

import os
import pathlib

# Tests measure numbers, not devices: on a machine with a GPU they would fight for its
# memory. Set JAX_PLATFORMS to run them elsewhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder of real data beside the checkout, or named by JDECONV_DATA."""
    folder = pathlib.Path(
        os.environ.get("JDECONV_DATA", ROOT.parent / "shared" / "data")
    )
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set JDECONV_DATA)")
    return folder
