"""Records of training runs, and the table in the README made of them.

    python -m benchmarks.results collect tutorial_mnist runs/tutorial_mnist-0 ...
    python -m benchmarks.results table

`collect` writes configs/results/NAME.json from finished runs of configs/NAME.py, one
per seed; `table` writes the table of all records into the README.
"""

import argparse
import json
import pathlib
import statistics

from jdeconv import train
from jdeconv.train.records import read_run
from jdeconv.train.setup import make_plan

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "configs" / "results"
README = ROOT / "README.md"
BEGIN = "<!-- results: made by `python -m benchmarks.results table`, do not edit -->"
END = "<!-- end of results -->"

# What is shown of each record: metric, its unit and scale, and the published number it
# stands beside, which was measured on the same data in the same way.
ROWS = {
    "tutorial_mnist": ("accuracy", "%", 100, ""),
    "mnist_cnn": ("accuracy", "%", 100, "99.17 (Flax example), 99.22 (Keras example)"),
    "fashion_cnn": ("accuracy", "%", 100, ""),
    "autoencoder_mnist": ("loss", "BCE, nats", 1, "0.0622 (Keras example)"),
    "denoise_autoencoder_mnist": ("loss", "BCE, nats", 1, "0.0839 (Keras example)"),
    "vae_mnist": ("nll", "-log p(x), nats", 1, "86.76 (Burda et al., 2016)"),
    "vae_keras_mnist": (
        "loss",
        "summed BCE + KL, nats",
        1,
        "146.95 (Keras example, on the images it is trained on)",
    ),
    "tutorial_regress": ("psnr", "PSNR, dB", 1, ""),
    "deblur_photos": ("psnr", "PSNR, dB", 1, ""),
    "nuclei_unet": ("iou_nucleus", "IoU of all pixels, %", 100, ""),
    "nuclei_deconvnet": ("iou_nucleus", "IoU of all pixels, %", 100, ""),
    "membranes_unet": ("dice_membrane", "Dice of all pixels, %", 100, ""),
    "dcgan_mnist": ("swd", "distance of patches x 1000", 1, ""),
}


def planned_steps(workdir: pathlib.Path) -> int:
    """The number of steps of a run."""
    config, source = read_run(workdir)
    return make_plan(config, source["num_train"]).total


def likelihood(workdir: pathlib.Path, step: int) -> dict[str, float]:
    """What `jdeconv evaluate --checkpoint latest` has kept of a run's last step."""
    path = workdir / "likelihood.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    if (kept.get("split"), kept.get("step")) != ("test", step):
        return {}
    return {n: x for n, x in kept.items() if n.startswith("test/")}


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
        total = planned_steps(workdir)
        if not final or final[-1]["step"] < total:
            raise ValueError(f"{workdir}: not evaluated at its last step, {total}, yet")
        final[-1] |= likelihood(workdir, total)
        runs[config.pop("seed")] = (config, environment, final)
    configs = [config for config, _, _ in runs.values()]
    if any(config != configs[0] for config in configs):
        raise ValueError(f"{name}: the runs differ in more than their seed")
    last = {seed: final[-1] for seed, (_, _, final) in sorted(runs.items())}
    steps = {entry["step"] for entry in last.values()}
    if len(steps) > 1:
        raise ValueError(f"{name}: the runs ended at different steps, {steps}")
    config, environment, _ = runs[min(runs)]
    if config.get("init_from"):
        config["init_from"] = "runs/" + pathlib.Path(config["init_from"]).name
    kind, _, place = config["data"]["source"].partition(":")
    if kind == "folder":  # where a machine keeps it is of no use elsewhere
        config["data"]["source"] = f"folder:data/{pathlib.Path(place).name}"
    init = f" --config.init_from={config['init_from']}" if config["init_from"] else ""
    names = [n for n in last[min(last)] if n.startswith("test/")]
    return {
        "name": name,
        **({"argument": argument} if argument else {}),
        "metrics": {
            n.removeprefix("test/"): {
                "mean": statistics.mean(entry[n] for entry in last.values()),
                "sem": statistics.mean(e[f"{n}_sem"] for e in last.values()),
                "std_over_seeds": statistics.stdev(e[n] for e in last.values())
                if len(last) > 1
                else None,
                "seeds": {str(seed): entry[n] for seed, entry in last.items()},
            }
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
        f"{':' if argument else ''}{argument} --config.seed=SEED{init} "
        f"--workdir runs/{name}-SEED",
        "config": config,
    }


def table() -> str:
    """All records as one Markdown table."""
    lines = [
        "| config | test metric | mean ± standard error (of the test set) | seeds, "
        "deviation | published | steps | training time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (metric, unit, scale, published) in ROWS.items():
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
        if "input_psnr" in data["metrics"] and unit.startswith("PSNR"):
            shown += f" (input {data['metrics']['input_psnr']['mean']:.2f})"
        minutes = statistics.mean(data["wall_time_s"]) / 60
        shown_name = ":".join(filter(None, (name, data.get("argument"))))
        lines.append(
            f"| [`{shown_name}`](configs/{name}.py) | {metric}, {unit} | {shown} | "
            f"{seeds} | {published or '-'} | {data['steps']} | {minutes:.0f} min, "
            f"{data['device']} |"
        )
    return "\n".join(lines)


def readme_with(table: str) -> str:
    """The README with its table replaced."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    collect = verbs.add_parser("collect", help="write configs/results/NAME.json")
    collect.add_argument("name")
    collect.add_argument("workdirs", nargs="+", type=pathlib.Path)
    collect.add_argument("--argument", default="", help="of the config, as in NAME:32")
    verbs.add_parser("table", help="write the table into the README")
    arguments = parser.parse_args()
    if arguments.verb == "collect":
        content = record(arguments.name, arguments.workdirs, arguments.argument)
        path = RESULTS / f"{arguments.name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    README.write_text(readme_with(table()))


if __name__ == "__main__":
    main()
