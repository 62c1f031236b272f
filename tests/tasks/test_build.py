import pytest

from jdeconv import tasks, train


def config(**fields):
    config = train.default_config()
    config.update(**fields)
    return config


def test_fields_of_the_config_arrive():
    fields = config(label_smoothing=0.1)
    fields.preprocess.size = (32, 32)
    fields.preprocess.standardize = (0.5, 0.25)
    fields.data.augment = "shift"
    task = tasks.build(fields, (28, 28, 1), 10)
    assert task == tasks.Classify(
        tasks.Preprocess(size=(32, 32), standardize=(0.5, 0.25)), "shift", 10, 0.1
    )
    fields = config(task="reconstruct", loss="bce")
    fields.degrade.noise_std = 0.4
    task = tasks.build(fields, (28, 28, 1), None)
    assert task == tasks.Reconstruct(
        loss_name="bce", degrade=tasks.Degrade(noise_std=0.4)
    )
    fields = config(task="variational", loss="elbo")
    fields.variational.update(beta=2.0, binarize="fixed")
    task = tasks.build(fields, (28, 28, 1), None)
    assert task == tasks.Variational(beta=2.0, binarize="fixed")


@pytest.mark.parametrize(
    "fields, classes, message",
    [
        (
            {"task": "paint"},
            10,
            "task='paint': must be 'classify', 'reconstruct', 'super_resolve'",
        ),
        ({"loss": "bce"}, 10, "loss='bce': task 'classify' has 'cross_entropy'"),
        ({}, None, "task 'classify' needs labels"),
        ({"task": "reconstruct"}, 10, "loss='cross_entropy'.*bce, mse, l1"),
        ({"task": "variational"}, 10, "loss='cross_entropy'.*'elbo' alone"),
    ],
)
def test_what_does_not_fit_is_refused(fields, classes, message):
    with pytest.raises(ValueError, match=message):
        tasks.build(config(**fields), (8, 8, 1), classes)
