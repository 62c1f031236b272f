"""The U-Net keeps every size, odd ones too, and images do not mix."""

import jax
import numpy as np
import pytest
from flax import nnx

from jdeconv.models.unet import UNet


@pytest.mark.parametrize("size", [(16, 16), (13, 7)])
def test_logits_have_the_size_of_the_image(size):
    model = UNet((16, 16, 3), num_classes=2, features=4, stages=2, rngs=nnx.Rngs(0))
    model.eval()
    x = jax.random.normal(jax.random.key(1), (2, *size, 3))
    y = model(x)
    assert y.shape == (2, *size, 2)
    changed = model(x.at[0, 5, 3].add(1.0))
    at = np.abs(np.asarray(changed - y)).sum(-1)
    assert at[0, 5, 3] > 0
    assert not at[1].any()


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="num_classes"):
        UNet((8, 8, 1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="stages=0"):
        UNet((8, 8, 1), num_classes=2, stages=0, rngs=nnx.Rngs(0))
