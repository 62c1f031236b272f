"""Costs against counts by hand."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jdeconv import models, nn


class Every(nnx.Module):
    """One layer of every kind, one after the other."""

    def __init__(self, rngs):
        self.conv = nn.Conv(2, 6, (3, 5), 2, rngs=rngs)
        self.grouped = nn.Conv(6, 9, (3, 3), feature_group_count=3, rngs=rngs)
        self.dilated = nn.Conv(
            9, 4, (3, 3), kernel_dilation=2, padding="VALID", use_bias=False, rngs=rngs
        )
        self.up = nn.ConvTranspose(4, 6, (4, 4), 2, feature_group_count=2, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.tied = nn.TiedConvTranspose(self.conv)
        self.flax = nnx.Conv(2, 3, (3, 3), strides=2, rngs=rngs)
        self.dense = nnx.Linear(3, 7, rngs=rngs)

    def __call__(self, x):
        x = self.dilated(self.grouped(self.conv(x)))
        x = self.norm(self.up(x, output_size=(11, 15)))
        return self.dense(self.flax(self.tied(x, output_size=(22, 29))))


BY_HAND = {  # output, parameters, multiply-adds
    "conv": ((10, 12, 6), 3 * 5 * 2 * 6 + 6, 10 * 12 * 3 * 5 * 2 * 6),
    "grouped": ((10, 12, 9), 3 * 3 * 2 * 9 + 9, 10 * 12 * 3 * 3 * 2 * 9),
    "dilated": ((6, 8, 4), 3 * 3 * 9 * 4, 6 * 8 * 3 * 3 * 9 * 4),
    # What the 4x4 conv, stride 2, from 6 to 4 channels in 2 groups costs.
    "up": ((11, 15, 6), 4 * 4 * 3 * 4 + 6, 6 * 8 * 4 * 4 * 3 * 4),
    "norm": ((11, 15, 6), 12, 0),
    "tied": ((22, 29, 2), 2, 11 * 15 * 3 * 5 * 2 * 6),  # the kernel is the conv's
    "flax": ((11, 15, 3), 3 * 3 * 2 * 3 + 3, 11 * 15 * 3 * 3 * 2 * 3),
    "dense": ((11, 15, 7), 3 * 7 + 7, 11 * 15 * 3 * 7),
}


@pytest.mark.parametrize("batch_size", (1, 4))
def test_counts_are_those_by_hand(batch_size):
    model = Every(nnx.Rngs(0))
    made = models.summary(model, (20, 24, 2), batch_size=batch_size)
    assert [row.name for row in made.rows] == list(BY_HAND)
    for row in made.rows:
        shape, parameters, multiply_adds = BY_HAND[row.name]
        assert row.output_shape == shape
        assert row.parameters == parameters, row.name
        assert row.multiply_adds == multiply_adds, row.name
        assert row.bytes == 4 * math.prod(shape)
        assert row.seconds is None
    sizes = [p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param))]
    assert made.total.parameters == sum(sizes)
    assert made.total.multiply_adds == sum(n for _, _, n in BY_HAND.values())
    assert made.total.output_shape == (11, 15, 7)


def test_keras_autoencoder():
    """28,353 parameters, and the multiply-adds of its five layers."""
    model = models.Autoencoder((28, 28, 1), rngs=nnx.Rngs(0))
    made = models.summary(model, (28, 28, 1))
    assert made.total.parameters == 28_353
    window = 9 * 32
    by_hand = [784, 196 * 32, 49 * 32, 196 * 32, 784]
    assert [row.multiply_adds for row in made.rows] == [window * n for n in by_hand]
    assert made.total.bytes == 4 * (784 * 32 + 196 * 32 + 196 * 32 + 784 * 32 + 784)


def test_half_precision_halves_the_bytes():
    model = models.Encoder(
        (8, 8, 1), features=(4,), dtype=jnp.bfloat16, rngs=nnx.Rngs(0)
    )
    assert models.summary(model, (8, 8, 1)).total.bytes == 2 * 8 * 8 * 4


def test_layers_in_layers_and_times():
    """A composed layer's row is its conv; a size given at the call is passed on."""
    model = models.Decoder(
        (7, 8, 1), features=(3,), latent=2, upsample="resize", rngs=nnx.Rngs(0)
    )
    made = models.summary(model, (2,), batch_size=2, repeats=2)
    names = ["dense", "layers.0.conv", "conv"]
    assert [row.name for row in made.rows] == names
    assert all(row.seconds > 0 for row in (*made.rows, made.total))
    *_, total, setting = lines = str(made).splitlines()
    assert lines[0].split() == [
        "layer", "type", "output", "parameters", "multiply-adds", "bytes", "time/image"
    ]  # fmt: skip
    assert total.split()[-2:] == [f"{made.total.seconds * 1e6:,.1f}", "us"]
    assert "batch of 2" in setting
    assert made.rows[0]._asdict()["multiply_adds"] == 2 * 4 * 4 * 3


def test_what_is_not_known_is_not_guessed():
    class Own(nnx.Module):
        def __init__(self):
            self.mix = nnx.Einsum("bi,io->bo", (3, 5), rngs=nnx.Rngs(0))
            self.scale = nnx.Param(jnp.ones(5))

        def __call__(self, x):
            return self.mix(x) * self.scale[...]

    made = models.summary(Own(), (3,))
    assert [row.multiply_adds for row in made.rows] == [None, None]
    assert made.total.multiply_adds is None and made.total.parameters == 20
    assert "?" in str(made)
