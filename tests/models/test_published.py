"""`models.load`: what is published, what is not, and files that are not right."""

import json

import numpy as np
import pytest
from flax import nnx

from jdeconv import models
from jdeconv.models.published import npz_arrays, read_weights, variables

ABOUT = {
    "config": {
        "model": {"name": "cnn", "blocks": [[2], [3]], "pool": 2, "dropout": 0.0},
        "dtype": "float32",
    },
    "image_shape": [8, 8, 1],
    "source": {"num_classes": 4},
}


@pytest.fixture(scope="module")
def model():
    options = {**ABOUT["config"]["model"], "blocks": ((2,), (3,))}
    model = models.build(
        options, image_shape=(8, 8, 1), num_classes=4, rngs=nnx.Rngs(3)
    )
    # Batch statistics that are not those of a new network.
    for name, variable in variables(model).items():
        if name.endswith(("mean", "var")):
            variable[...] = variable[...] + 0.5
    return model


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "own.npz"
    np.savez_compressed(path, **npz_arrays(model, ABOUT))
    return path


def changed(file, **arrays):
    """The file with some arrays in another way, or without them: None."""
    with np.load(file) as old:
        kept = {**old, **arrays}
    path = file.with_name("changed.npz")
    np.savez(path, **{name: a for name, a in kept.items() if a is not None})
    return path


def test_a_file_gives_the_network_back_in_evaluation_mode(model, file, rng):
    x = rng.random((2, 8, 8, 1), np.float32)
    model.eval()
    loaded = models.load(file)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert {n: v.shape for n, v in variables(loaded).items()} == {
        n: v.shape for n, v in variables(model).items()
    }
    loaded.train()
    assert np.abs(loaded(x) - model(x)).max() > 0.01  # norms of the batch again


def test_every_published_file_loads_and_says_what_it_is():
    assert {"mnist_cnn", "deblur_photos", "fsrcnn_t91_3"} <= set(models.published())
    for name in models.published():
        about, arrays = read_weights(name)
        assert all(a.dtype == np.float32 for a in arrays.values())
        loaded = variables(models.load(name))
        assert loaded.keys() == arrays.keys()
        assert about["step"] > 0 and about["config"]["task"]
        assert models.model_card(name).startswith(f"# {name}\n")
        assert "**Limits**" in models.model_card(name)


def test_unknown_name_gets_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'mnist_cnn'"):
        models.load("mnist_cn")
    with pytest.raises(ValueError, match=r"no weights 'zebra'.*There are auto.*fsrcnn"):
        models.model_card("zebra")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        models.load("nowhere.npz")


@pytest.mark.parametrize(
    "arrays, told",
    [
        ({"dense.bias": None}, r"dense\.bias is absent and should be float32 \(4,\)"),
        ({"dense.bias": np.zeros(3, np.float32)}, r"dense\.bias is float32 \(3,\) and"),
        ({"dense.bias": np.zeros(4)}, r"dense\.bias is float64 \(4,\) and"),
        ({"dense.bais": np.zeros(4, np.float32)}, r"dense\.bais is float32 .* absent"),
    ],
)
def test_arrays_of_another_network_are_refused_by_name(file, arrays, told):
    with pytest.raises(ValueError, match=told):
        models.load(changed(file, **arrays))


def test_files_that_are_not_ours(file, tmp_path):
    with pytest.raises(ValueError, match="no weights of a network"):
        models.load(changed(file, about=None))
    other = np.array(json.dumps({**ABOUT, "format": 99}))
    with pytest.raises(ValueError, match="is of format 99"):
        models.load(changed(file, about=other))
    cut = tmp_path / "cut.npz"
    cut.write_bytes(file.read_bytes()[:400])
    with pytest.raises(ValueError, match="or is damaged"):
        models.load(cut)
    cut.write_text("hello")
    with pytest.raises(ValueError, match="or is damaged"):
        models.load(cut)
