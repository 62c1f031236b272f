import pathlib

import pytest

from jdeconv import train
from jdeconv.train.config import flatten, load_config_file
from jdeconv.train.sweeps import read_sweep

CONFIG = """
from jdeconv import train

def get_config(arg=None):
    config = train.default_config()
    config.seed = int(arg or 0)
    return config.lock()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return path


def test_file_argument_and_overrides(file):
    config = train.read_config(
        f"{file}:7", {"batch_size": "64", "optimizer.learning_rate": "3e-4"}
    )
    assert (config.seed, config.batch_size) == (7, 64)
    assert config.optimizer.learning_rate == 3e-4
    assert config.is_locked


@pytest.mark.parametrize(
    "field, text, value",
    [
        ("optimizer.learning_rate", "1", 1.0),
        ("batch_size", "1e3", 1000),
        ("optimizer.nesterov", "True", True),
        ("optimizer.nesterov", "0", False),
        ("optimizer.boundaries", "('1 epochs', '2 epochs')", ("1 epochs", "2 epochs")),
        ("preprocess.range", "[-1, 1]", (-1, 1)),
        ("model.name", "cnn", "cnn"),
        ("duration", "10 epochs", "10 epochs"),
        # Fields whose default is None.
        ("init_from", "runs/other", "runs/other"),
        ("init_from", "None", None),
        ("eval_batch_size", "256", 256),
        ("data.patch_size", "48", 48),
        ("data.patch_size", "(48, 64)", (48, 64)),
        ("data.data_dir", "/data", "/data"),
        ("preprocess.standardize", "image", "image"),
        ("preprocess.standardize", "(0.13, 0.31)", (0.13, 0.31)),
    ],
)
def test_text_becomes_a_value_of_the_field_s_type(field, text, value):
    config = train.default_config().lock()
    train.override(config, {field: text})
    found = flatten(config)[field]
    assert found == value and type(found) is type(value)
    assert config.is_locked


@pytest.mark.parametrize(
    "field, text, message",
    [
        ("batch_sise", "3", "config.batch_sise.*did you mean config.batch_size"),
        ("optimiser.name", "sgd", "did you mean config.optimizer"),
        ("optimizer.learning_rat", "1", "did you mean config.optimizer.learning_rate"),
        ("learning_rate", "1", "did you mean config.optimizer.learning_rate"),
        ("batch_size", "many", "config.batch_size='many': must be an int"),
        ("batch_size", "1.5", "config.batch_size='1.5': must be an int"),
        ("batch_size", "True", "config.batch_size='True': must be an int"),
        ("optimizer.beta1", "x", "config.optimizer.beta1='x': must be a float"),
        ("optimizer.nesterov", "maybe", "must be true or false"),
        ("eval_batch_size", "x", "config.eval_batch_size='x': must be an int"),
        ("optimizer", "adam", "config.optimizer is a group.*config.optimizer.name"),
        ("seed.x", "1", "config.seed has no fields"),
    ],
)
def test_mistakes_are_named(field, text, message):
    with pytest.raises(ValueError, match=message):
        train.override(train.default_config(), {field: text})


def test_missing_file_is_said_first():
    with pytest.raises(FileNotFoundError, match="'nowhere.py' does not exist"):
        train.read_config("nowhere.py:arg", {"no_such_field": "1"})


def test_file_that_is_no_config(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    with pytest.raises(ValueError, match="no function get_config"):
        train.read_config(str(tmp_path / "a.py"))
    (tmp_path / "b.py").write_text("def get_config(arg=None): return {}")
    with pytest.raises(TypeError, match="returned a dict"):
        train.read_config(str(tmp_path / "b.py"))
    (tmp_path / "c.txt").write_text("")
    with pytest.raises(ValueError, match=r"\*\.py"):
        train.read_config(str(tmp_path / "c.txt"))


def test_an_argument_that_the_file_does_not_take_is_named(tmp_path):
    path = tmp_path / "plain.py"
    path.write_text("def get_config(): return {}")
    with pytest.raises(
        ValueError, match=r"argument 'x': config file .*plain.py' takes"
    ):
        train.read_config(f"{path}:x")


def test_every_config_of_the_repository_is_one():
    files = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
    assert files
    known = flatten(train.default_config())
    for file in files:
        fields = flatten(train.read_config(str(file)))
        unknown = {f for f in fields if f not in known and not f.startswith("model.")}
        assert not unknown, file
        if callable(getattr(load_config_file(str(file)), "sweep", None)):
            cells, configs = read_sweep(str(file))
            assert len(cells) == len(configs) > 1


def test_misspelt_field_in_a_config_file_suggests_the_right_one(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG.replace("config.seed", "config.sed"))
    with pytest.raises(AttributeError, match='Did you mean "seed"'):
        train.read_config(str(path))


def test_options_of_the_network_can_be_overridden_though_the_file_names_none(file):
    config = train.read_config(str(file), {"model.dropout": "0.5", "model.name": "cnn"})
    assert config.model.dropout == 0.5
    with pytest.raises(ValueError, match=r"did you mean config\.model\.dropout"):
        train.read_config(str(file), {"model.name": "cnn", "model.dropuot": "0.5"})
