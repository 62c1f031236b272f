"""Fixtures of the tests of restoring."""

import jax.numpy as jnp
import pytest


@pytest.fixture(scope="session")
def photograph():
    """128 x 128 pixels of a photograph, 0 .. 1."""
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[60:188, 60:188], jnp.float32) / 255
