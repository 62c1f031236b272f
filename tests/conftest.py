"""Fixtures shared by all tests."""

import gc
import importlib.metadata
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest

# Tests measure numbers, not devices: on a machine with a GPU they would fight for its
# memory. Set JAX_PLATFORMS to run them elsewhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Most of a test is compiling. Where `make test` asks for few optimisations, the older
# code generator of XLA makes small programs in a third of the time, and cutting them
# into parts for many cores is of no use. XLA aborts on a flag that it does not know:
# these are flags of the locked version.
few = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "1"
if few:  # nor is it of use to write into every operation where it came from
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
if few and importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = " ".join(
        [
            "--xla_cpu_use_fusion_emitters=false",
            "--xla_cpu_parallel_codegen_split_count=1",
            os.environ.get("XLA_FLAGS", ""),
        ]
    )

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def leave_to_the_collector_what_is_new() -> Iterator[None]:
    """Compiled programs are many objects that stay: walk them once, not ever again."""
    yield
    gc.collect()
    gc.freeze()


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
