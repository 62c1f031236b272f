"""Records of training runs, and the table in the README made of them.

    python -m benchmarks.results collect tutorial_mnist runs/tutorial_mnist-0 ...
    python -m benchmarks.results collect fsrcnn_t91:3 runs/fsrcnn_t91_3-0
    python -m benchmarks.results add tutorial_mnist runs/tutorial_mnist-1 ...
    python -m benchmarks.results publish tutorial_mnist runs/tutorial_mnist-0
    python -m benchmarks.results table

`collect` writes configs/results/NAME.json from finished runs of configs/NAME.py, one
per seed, or NAME_ARGUMENT.json if the config was given an argument; `add` puts runs of
further seeds into it; `publish` the weights of one of them, for `models.load`; `table`
the table of all records into the README, and the model cards of what is published.
"""

import argparse
import json
import pathlib
import shlex
import statistics

from benchmarks import cards
from benchmarks.report import RECORDS
from jdeconv import train
from jdeconv.models.published import FOLDER as WEIGHTS
from jdeconv.models.published import published, read_weights
from jdeconv.train.config import flatten
from jdeconv.train.published import portable

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "configs" / "results"
README = ROOT / "README.md"
BEGIN = "<!-- results: made by `python -m benchmarks.results table`, do not edit -->"
END = "<!-- end of results -->"

# Of `python -m benchmarks.throughput`, the one that the table shows.
THROUGHPUT = RECORDS / "throughput-cpu-jax0.10.json"

# What is shown of each record: metric, its unit and scale, and the published number it
# stands beside, which was measured on the same data in the same way.
ROWS = {
    "tutorial_mnist": ("accuracy", "%", 100, ""),
    "mnist_cnn": ("accuracy", "%", 100, "99.17 (Flax example), 99.22 (Keras example)"),
    "fashion_cnn": ("accuracy", "%", 100, ""),
    "autoencoder_mnist": ("loss", "BCE, nats", 1, "0.0622 (Keras example)"),
    "denoise_autoencoder_mnist": ("loss", "BCE, nats", 1, "0.0839 (Keras example)"),
    "vae_mnist": (
        "nll",
        "-log p(x) by 5000 samples, nats",
        1,
        "86.76 (Burda et al., 2016)",
    ),
    "vae_keras_mnist": (
        "training_reconstruction",
        "summed BCE of the training images, nats",
        1,
        "146.95 (Keras example, training and test images)",
    ),
    "tutorial_regress": ("psnr", "PSNR, dB", 1, ""),
    "deblur_photos": ("psnr", "PSNR, dB", 1, ""),
    "nuclei_unet": ("iou_nucleus", "IoU of all pixels, %", 100, ""),
    "nuclei_deconvnet": ("iou_nucleus", "IoU of all pixels, %", 100, ""),
    "membranes_unet": ("dice_membrane", "Dice of all pixels, %", 100, ""),
    "dcgan_mnist": ("swd", "distance of patches x 1000", 1, "11.32 (mmagic)"),
    "dcgan_mnist_32": ("swd", "distance of patches x 1000", 1, ""),
    "dcgan_mnist_hinge": ("swd", "distance of patches x 1000", 1, ""),
    "wgan_gp_mnist": ("swd", "distance of patches x 1000", 1, ""),
    "vae_gan_mnist_32": ("swd", "distance of patches x 1000", 1, ""),
    "enhance_photos": ("psnr", "PSNR of patches, dB", 1, ""),
    "dncnn_train400_25": (
        "set12_25",
        "PSNR of Set12 at 25, dB",
        1,
        "30.44 (Zhang et al., 2017)",
    ),
    "ffdnet_train400": (
        "set12_25",
        "PSNR of Set12 at 25, dB",
        1,
        "30.43 (Zhang et al., 2018)",
    ),
    "fsrcnn_t91_2": ("whole_psnr", "PSNR of Set5, dB", 1, "36.94 (Dong et al., 2016)"),
    "fsrcnn_t91_3": ("whole_psnr", "PSNR of Set5, dB", 1, "33.06 (Dong et al., 2016)"),
    "fsrcnn_t91_4": ("whole_psnr", "PSNR of Set5, dB", 1, "30.55 (Dong et al., 2016)"),
    "espcn_t91_3": ("whole_psnr", "PSNR of Set5, dB", 1, "32.55 (Shi et al., 2016)"),
}
# What went in, or what stands beside it, in the same unit.
BESIDE = {"psnr": ("input_psnr", "input"), "whole_psnr": ("whole_bicubic", "bicubic")}
# Rows that stand beside a number of the images a network was trained on: of those, too.
ON_TRAINING_IMAGES = ("vae_keras_mnist",)
# What another command has measured of a run's last step, kept in its workdir.
KEPT = ("likelihood.json", "whole_images.json")
LARGEST = 2_000_000  # bytes of weights that are published
BITS = (23, 16, 14)  # of the mantissa: the most that keep a file below that


def kept(workdir: pathlib.Path, step: int) -> dict[str, float]:
    """What `jdeconv evaluate --checkpoint latest` and others have kept of a run."""
    found: dict[str, float] = {}
    for path in (workdir / name for name in KEPT):
        content = json.loads(path.read_text()) if path.exists() else {}
        if (content.get("split"), content.get("step")) == ("test", step):
            found |= {n: x for n, x in content.items() if n.startswith("test/")}
    return found


def on_training_images(workdir: pathlib.Path) -> dict[str, float]:
    """The metrics of the last step on the images that the run was trained on."""
    found = train.evaluate(workdir, which="latest", split="train")
    return {
        f"test/training_{n.removeprefix('train/')}": x
        for n, x in found.items()
        if n.startswith("train/")
    }


def overrides(name: str, argument: str, config: dict) -> dict[str, str]:
    """The fields in which a run's config differs from that of configs/NAME.py."""
    spec = f"{ROOT / 'configs' / name}.py" + (f":{argument}" if argument else "")
    of_file = flatten(portable(train.read_config(spec).to_dict()))
    apart = {"seed", "init_from", "data.data_dir", "data.source"}
    plain = json.loads(json.dumps(of_file))
    return {
        field: str(value)
        for field, value in flatten(config).items()
        if field in plain and field not in apart and plain[field] != value
    }


def record(name: str, workdirs: list[pathlib.Path], argument: str = "") -> dict:
    """The record of some finished runs of one config that differ in their seed.

    Args:
      name: of the config.
      workdirs: of the runs.
      argument: of the config's get_config, if one was given.

    Raises:
      ValueError: runs of different configs, or one that is not finished.
    """
    runs = {}
    for workdir in workdirs:
        config = json.loads((workdir / "config.json").read_text())
        environment = json.loads((workdir / "environment.json").read_text())
        final = [r for r in train.read_metrics(workdir) if "test/loss" in r]
        if train.finished(workdir) is None:
            raise ValueError(f"{workdir}: not at its end yet, or not evaluated there")
        final[-1] |= kept(workdir, final[-1]["step"])
        if name in ON_TRAINING_IMAGES:
            final[-1] |= on_training_images(workdir)
        runs[config.pop("seed")] = (config, environment, final)
    configs = [config for config, _, _ in runs.values()]
    if any(config != configs[0] for config in configs):
        raise ValueError(f"{name}: the runs differ in more than their seed")
    last = {seed: final[-1] for seed, (_, _, final) in sorted(runs.items())}
    steps = {entry["step"] for entry in last.values()}
    if len(steps) > 1:
        raise ValueError(f"{name}: the runs ended at different steps, {steps}")
    config, environment, _ = runs[min(runs)]
    config = json.loads(json.dumps(portable(config)))
    given = overrides(name, argument, config)
    if config.get("init_from"):
        given["init_from"] = config["init_from"]
    options = "".join(f" --config.{f}={shlex.quote(x)}" for f, x in given.items())
    names = [n for n in last[min(last)] if n.startswith("test/")]
    return {
        "name": name,
        **({"argument": argument} if argument else {}),
        "metrics": {
            n.removeprefix("test/"): over_seeds(
                {str(seed): entry[n] for seed, entry in last.items()},
                statistics.mean(e[f"{n}_sem"] for e in last.values()),
            )
            for n in names
            if not n.endswith("_sem")
        },
        "curve": {
            str(seed): [
                {
                    "step": e["step"],
                    **{n: e[n] for n in names if n in e and not n.endswith("_sem")},
                }
                for e in final
            ]
            for seed, (_, _, final) in sorted(runs.items())
        },
        "steps": steps.pop(),
        "wall_time_s": [round(e["wall_time_s"], 1) for e in last.values()],
        "device": f"{environment.get('cpu') or 'CPU'}, {environment['cpu_cores']} cores"
        if environment["platform"] == "cpu"
        else environment["device"],
        "versions": {"python": environment["python"], **environment["versions"]},
        "commit": environment["commit"],
        "command": f"jdeconv train --config configs/{name}.py"
        f"{':' if argument else ''}{argument} --config.seed=SEED{options} "
        f"--workdir runs/{stem(name, argument)}-SEED",
        "config": config,
    }


def over_seeds(seeds: dict[str, float], sem: float) -> dict:
    """What a record says of a metric.

    Args:
      seeds: its value by seed.
      sem: mean of the runs' standard errors over the test images.
    """
    several = len(seeds) > 1
    return {
        "mean": statistics.mean(seeds.values()),
        "sem": sem,
        "std_over_seeds": statistics.stdev(seeds.values()) if several else None,
        "seeds": seeds,
    }


def extended(old: dict, new: dict) -> dict:
    """A record with the seeds of another one of the same config.

    Raises:
      ValueError: seeds that are there already, metrics that the new ones lack, or runs
        that differ in more: in steps, in the versions of packages, or in a field of the
        config that both know of.
    """
    known = set(flatten(old["config"])) & set(flatten(new["config"]))
    for field in sorted(known):
        a, b = flatten(old["config"])[field], flatten(new["config"])[field]
        if a != b:
            raise ValueError(f"config.{field}: {b!r} now, and {a!r} in the record")
    for field in ("steps", "versions"):
        if old[field] != new[field]:
            raise ValueError(
                f"{field}: {new[field]} now, and {old[field]} in the record"
            )
    twice = set(old["curve"]) & set(new["curve"])
    if twice:
        raise ValueError(f"seeds {', '.join(sorted(twice))}: in the record already")
    missing = sorted(set(old["metrics"]) - set(new["metrics"]))
    if missing:
        raise ValueError(f"no {', '.join(missing)} of the new runs: evaluate them")
    counts = len(old["curve"]), len(new["curve"])
    metrics = {}
    for name, there in old["metrics"].items():
        more = new["metrics"][name]
        seeds = there["seeds"] | more["seeds"]
        sem = statistics.fmean((there["sem"], more["sem"]), counts)
        metrics[name] = over_seeds(seeds, sem)
    commits = dict.fromkeys([*old["commit"].split(", "), *new["commit"].split(", ")])
    return old | {
        "metrics": metrics,
        "curve": old["curve"] | new["curve"],
        "wall_time_s": old["wall_time_s"] + new["wall_time_s"],
        "commit": ", ".join(commits),
    }


def stem(name: str, argument: str = "") -> str:
    """What a config's record and weights are called.

    >>> stem("fsrcnn_t91", "3")
    'fsrcnn_t91_3'
    """
    return "_".join(filter(None, (name, argument)))


def table() -> str:
    """All records as one Markdown table."""
    lines = [
        "| config | test metric | mean ± standard error (of the test set) | seeds, "
        "deviation | published | steps | training time | images/s | of PyTorch's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    speeds = throughput()
    for name, (metric, unit, scale, other) in ROWS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        data = json.loads(path.read_text())
        value = data["metrics"][metric]
        digits = 4 if unit.startswith("BCE") else 2
        spread = value["std_over_seeds"]
        seeds = f"{len(value['seeds'])}"
        if spread is not None:
            seeds += f", {scale * spread:.{digits}f}"
        shown = (
            f"{scale * value['mean']:.{digits}f} ± {scale * value['sem']:.{digits}f}"
        )
        beside, what = BESIDE.get(metric, ("", ""))
        if beside in data["metrics"]:
            shown += f" ({what} {data['metrics'][beside]['mean']:.2f})"
        minutes = min(data["wall_time_s"]) / 60  # other seeds were held meanwhile
        config = data["name"]
        shown_name = ":".join(filter(None, (config, data.get("argument"))))
        lines.append(
            f"| [`{shown_name}`](configs/{config}.py) | {metric}, {unit} | {shown} | "
            f"{seeds} | {other or '-'} | {data['steps']} | {minutes:.0f} min, "
            f"{data['device']} | {speeds.get(shown_name, '- | -')} |"
        )
    return "\n".join(lines)


def throughput() -> dict[str, str]:
    """Two cells by config: images per second, and the share of PyTorch's."""
    if not THROUGHPUT.exists():
        return {}
    cells = {}
    for name, found in json.loads(THROUGHPUT.read_text())["configs"].items():
        per_s = found["images_per_s"]
        ours, theirs = per_s["jdeconv"], per_s.get("PyTorch")
        share = f"{ours / theirs:.2f}" if theirs else "-"
        cells[name] = f"{float(f'{ours:.3g}'):,.0f} | {share}"
    return cells


def readme_with(table: str) -> str:
    """The README with its table replaced."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def publish(name: str, workdir: pathlib.Path) -> pathlib.Path:
    """Writes jdeconv/models/weights/NAME.npz: the last step of a recorded run.

    Raises:
      ValueError: the run is not one of those in configs/results/NAME.json, or its
        weights are too large.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{name} has no record yet: `collect` it first")
    data = json.loads(path.read_text())
    config = portable(json.loads((workdir / "config.json").read_text()))
    seed = str(config.pop("seed"))
    if config != data["config"] or seed not in data["metrics"]["loss"]["seeds"]:
        raise ValueError(f"{workdir} is no run of the record {path}")
    target = WEIGHTS / f"{name}.npz"
    trial = target.with_name(f".{name}.npz")
    for bits in BITS:
        train.save_weights(
            workdir, trial, which="latest", dtype="float32", mantissa_bits=bits
        )
        if trial.stat().st_size <= LARGEST:
            break
    about, _ = read_weights(trial)
    size = trial.stat().st_size
    if about["step"] != data["steps"] or size > LARGEST:
        trial.unlink()
        raise ValueError(
            f"{workdir}: weights of step {about['step']}, {size} bytes; published are "
            f"those of step {data['steps']}, of at most {LARGEST} bytes"
        )
    return trial.replace(target)


def card_of(name: str) -> str:
    """The model card of published weights."""
    data = json.loads((RESULTS / f"{name}.json").read_text())
    return cards.card(name, data, *ROWS[name])


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, what in (("collect", "write"), ("add", "put further seeds into")):
        runs = verbs.add_parser(verb, help=f"{what} configs/results/NAME.json")
        runs.add_argument("name", help="of the config, NAME or NAME:ARGUMENT")
        runs.add_argument("workdirs", nargs="+", type=pathlib.Path)
    weights = verbs.add_parser("publish", help="write jdeconv/models/weights/NAME.npz")
    weights.add_argument("name", help="of the record")
    weights.add_argument("workdir", type=pathlib.Path)
    verbs.add_parser("table", help="write the table into the README, and the cards")
    arguments = parser.parse_args()
    if arguments.verb in ("collect", "add"):
        name, _, argument = arguments.name.partition(":")
        content = record(name, arguments.workdirs, argument)
        path = RESULTS / f"{stem(name, argument)}.json"
        if arguments.verb == "add":
            content = extended(json.loads(path.read_text()), content)
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    if arguments.verb == "publish":
        print(publish(arguments.name, arguments.workdir))
    README.write_text(readme_with(table()))
    for name in published():
        (WEIGHTS / f"{name}.md").write_text(card_of(name))


if __name__ == "__main__":
    main()
