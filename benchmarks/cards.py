"""The model cards of published weights, made from their file and their record.

No number in a card is typed by hand: `python -m benchmarks.results table` writes them
from jdeconv/models/weights/NAME.npz and configs/results/NAME.json.
"""

import ast
import pathlib

from jdeconv.models.published import read_weights

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"

# By the first part of the source's name: what it is, and on what terms.
DATA = {
    "tfds:mnist": (
        "MNIST (LeCun, Cortes and Burges, 1998), TFDS `mnist`: 60,000 digits for "
        "training, 10,000 for the test. Used with attribution."
    ),
    "tfds:fashion_mnist": (
        "Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), TFDS `fashion_mnist`: 60,000 "
        "pictures of clothes for training, 10,000 for the test. MIT licence."
    ),
    "photos": (
        "The photographs bundled with scikit-image, mostly in the public domain (its "
        "`skimage/data/README.txt` has the terms of each); those of the test are not "
        "in training."
    ),
    "folder:data/dsb2018": (
        "Images of nuclei from the 2018 Data Science Bowl (Caicedo et al., 2019), 334 "
        "of them, 256 x 256, as grey: the first four fifths by name for training, the "
        "rest for the test. CC0."
    ),
    "folder:data/isbi2012": (
        "The electron-microscopy stack of the ISBI 2012 challenge (Arganda-Carreras et "
        "al., 2015), 30 labelled slices: 24 for training, 6 for the test. The "
        "challenge's data, for research."
    ),
    "folder:data/train400": (
        "Trained on 400 grey photographs, 180 x 180, of BSDS500's training and test "
        "images (Zhang et al., 2017; no licence stated), tested on Set12."
    ),
    "folder:data/photos": (
        "Trained on the 91 colour images of Yang et al. (2010), tested on Set5 "
        "(Bevilacqua et al., 2012) and two more. No licence is stated for the images."
    ),
    "folder:data/t91": (
        "Trained on luma of the 91 images of Yang et al. (2010), tested on Set5 "
        "(Bevilacqua et al., 2012). No licence is stated for the images."
    ),
}

# What goes in and comes out, by task, in the units of the network.
USE = {
    "classify": "Returns logits, one for each of the classes {classes}.",
    "reconstruct": "Returns an image of the same size{logits}.",
    "super_resolve": "Returns an image {scale} times as high and wide.",
    "segment": (
        "Returns logits for each pixel, `[B, H, W, {num_classes}]`, of the classes "
        "{classes}; images may have any size."
    ),
    "variational": (
        "Returns logits, whose sigmoid is an image like the one given; `encode` gives "
        "the latent Gaussian, `decode` the logits of latent vectors `[B, {latent}]`."
    ),
    "vae_gan": (
        "Returns an image like the one given, -1 to 1; `encode` gives the "
        "latent Gaussian, `generator` images of latent vectors `[B, {latent}]`."
    ),
    "generate": (
        "The generator takes normal latent vectors `[B, {latent}]` and returns images "
        "`[B, H, W, C]`, -1 to 1; the discriminator is in the file, too."
    ),
}

LIMITS = {
    "tutorial_mnist": "Knows centred white digits on black, 28 x 28, and nothing else.",
    "mnist_cnn": "Knows centred white digits on black, 28 x 28, and nothing else.",
    "fashion_cnn": (
        "Knows single garments on black, 28 x 28. Most of its errors on the test set "
        "are between shirts, T-shirts, pullovers and coats."
    ),
    "autoencoder_mnist": (
        "Compresses digits through a grid of 7 x 7 x 32, which has more numbers than "
        "the image: it shows the layers, it does not compress."
    ),
    "denoise_autoencoder_mnist": (
        "Knows digits on black under the noise of its config; photographs, other noise "
        "and other sizes of stroke are outside of what it has seen."
    ),
    "tutorial_regress": (
        "The tutorial's network, which pools the image away and paints every pixel "
        "from one small grid: results are coarse."
    ),
    "deblur_photos": (
        "For one blur, a Gaussian as in its config, with little noise. For a known "
        "blur of another shape use `restore.deconvolve`, which takes the PSF."
    ),
    "dcgan_mnist_32": (
        "Makes digits of no chosen class. The narrow setting for a CPU, 32 x 32, and "
        "not the published 64 x 64 one."
    ),
    "dcgan_mnist_hinge": (
        "Makes digits of no chosen class, 32 x 32; the narrow setting for a CPU, with "
        "the hinge loss."
    ),
    "vae_mnist": (
        "Knows digits whose pixels are black or white, 28 x 28. Below, `nll` is the "
        "bound on -log p(x) by 5000 importance samples, `elbo` the one by a single "
        "draw. The numbers in the file are rounded to 14 bits of the mantissa."
    ),
    "vae_keras_mnist": (
        "Two numbers per digit, to look at: reconstructions are blurred, and some "
        "become another digit. Below, `training_...` is of the training images."
    ),
    "wgan_gp_mnist": (
        "Makes digits of no chosen class, 32 x 32; the narrow setting for a CPU."
    ),
    "vae_gan_mnist_32": (
        "Encodes and makes digits, 32 x 32; the narrow setting for a CPU. "
        "Reconstructions are like the image, not equal to it."
    ),
    "enhance_photos": (
        "For photographs with 1/3 to 1/16 of their light and photon noise, as its "
        "config makes them; what is well exposed gets too bright, and real cameras "
        "have other curves and other noise."
    ),
    "ffdnet_train400": (
        "For white Gaussian noise, grey (`jdeconv process` takes each colour by "
        "itself). Noise of cameras after their own processing and JPEG is neither "
        "white nor Gaussian. Below, `psnr` is of patches at all levels, `set12_25` of "
        "whole images at 25 of 255."
    ),
    "dncnn_train400_25": (
        "For white Gaussian noise of 25 of 255, grey: of other levels it takes off too "
        "much or too little. Below, `psnr` is of patches, `set12_25` of whole images. "
        "Trained in bfloat16, measured in float32. The numbers in the file are rounded "
        "to 16 bits of the mantissa: whole images come out the same to 0.01 dB."
    ),
    "nuclei_unet": (
        "Nuclei under the microscopes of that data set, grey, about as large as there; "
        "touching nuclei are one region. Not for diagnosis."
    ),
    "membranes_unet": (
        "Trained on 24 slices of one piece of tissue and tested on 6 of the same: "
        "other tissue, stain or resolution is outside of what it has seen. Not for "
        "diagnosis."
    ),
}


# Of all scales alike.
ENLARGING = (
    "For images that were shrunk by MATLAB's bicubic; luma only (`jdeconv process` "
    "interpolates chroma). Below, `psnr` is of patches, `whole_psnr` of images."
)
LIMITS |= dict.fromkeys(
    ("fsrcnn_t91_2", "fsrcnn_t91_3", "fsrcnn_t91_4", "espcn_t91_3"), ENLARGING
)


def card(name: str, record: dict, metric: str, unit: str, scale: float, other: str):
    """The model card as Markdown.

    Args:
      name: of the weights and the record.
      record: configs/results/NAME.json.
      metric, unit, scale, other: of the row in the results' table: the metric that
        counts, its unit, what it is multiplied by, and the published number.
    """
    about, arrays = read_weights(name)
    config, model = about["config"], about["config"]["model"]
    seed = str(config["seed"])
    height, width, channels = about["image_shape"]
    numbers = sum(array.size for array in arrays.values())
    low, high = config["preprocess"]["range"]
    options = ", ".join(
        f"{key}={value!r}"
        for key, value in sorted(model.items())
        if key != "name" and value is not None
    )
    use = USE[config["task"]].format(
        classes=", ".join(about["source"]["class_names"] or ()),
        logits=" (logits; their sigmoid is the image)"
        if config["loss"] == "bce"
        else "",
        scale=model.get("scale"),
        latent=model.get("latent"),
        num_classes=about["source"]["num_classes"],
    )
    takes = (
        ""
        if config["task"] == "generate"
        else f"Trained on {height} x {width} x {channels}, {low:g} to {high:g}. "
    )
    average = " The weights are the moving average." if config["ema_decay"] else ""
    minutes = min(record["wall_time_s"]) / 60  # the others were held more
    stands = f"\nPublished beside it: {other}.\n" if other else ""
    return f"""# {name}

{question(record["name"])}

```python
from jdeconv import models, train

# The network alone, which takes preprocessed arrays.
network = models.load("{name}")
# With its preprocessing: run.apply takes images as files hold them.
run = train.load_published("{name}")
```

- **Network**: `{model["name"]}` ({options}), {numbers:,} numbers, float32.
- **Use**: {takes}{use}
- **Data**: {DATA[config["data"]["source"]]}{degraded(config)}
- **Training**: {record["steps"]} steps, {minutes:.0f} minutes on {record["device"]};
  jax {record["versions"]["jax"]}, commit {record["commit"][:10]}, seed {seed}.{average}
  `{record["command"].replace("SEED", seed)}`
- **Limits**: {LIMITS[name]}{shortened(record)}
- **Licence** of the weights: Apache-2.0, as jdeconv; of the data, see there.

On the test set after the last step, which is the state in the file:

{metrics_table(record, seed, metric, unit, scale)}
{stands}
Made by `python -m benchmarks.results publish {name} runs/...`, do not edit.
"""


def question(name: str) -> str:
    """The first sentence of a config's header."""
    text = ast.get_docstring(ast.parse((CONFIGS / f"{name}.py").read_text())) or ""
    return text.splitlines()[0]


def degraded(config: dict) -> str:
    """What was done to the images that the network sees."""
    blur, noise = (config["degrade"][name] for name in ("blur_sigma", "noise_std"))
    done = [f"blurred by a Gaussian of {blur:g} pixels"] if blur else []
    if config["degrade"].get("exposure"):
        low, high = config["degrade"]["exposure"]
        done.append(f"with {low:.3g} to {high:.3g} of the light and photon noise")
    if isinstance(noise, list | tuple):
        low, high = noise
        done.append(f"with Gaussian noise of {low:.3g} to {high:.3g} (1 is white)")
    elif noise:
        cut = ", then cut to 0 to 1" if config["degrade"]["clip"] else ""
        done.append(f"with Gaussian noise of {noise:g} (1 is white){cut}")
    return f" What the network sees is {', '.join(done)}." if done else ""


def shortened(record: dict) -> str:
    """What to know of a run that was shorter than its config asks for."""
    if "--config.duration=" not in record["command"]:
        return ""
    return (
        f" Trained for {record['steps']} steps, and not as long as the config asks for."
    )


def metrics_table(record: dict, seed: str, metric: str, unit: str, scale: float) -> str:
    """The metrics of one seed, and the mean over seeds where there are several."""
    several = len(record["metrics"]["loss"]["seeds"]) > 1
    mean = " mean over seeds |" if several else ""
    lines = [f"| metric | this file | standard error |{mean}"]
    lines.append("|---" * (3 + several) + "|")
    for name, value in sorted(record["metrics"].items()):
        # The metric that counts, in the unit of the results' table.
        times = scale if name == metric else 1
        shown = f"{name}, {unit}" if name == metric else name
        row = [shown, f"{times * value['seeds'][seed]:.5g}"]
        row.append(f"{times * value['sem']:.2g}")
        if several:
            row.append(f"{times * value['mean']:.5g}")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
