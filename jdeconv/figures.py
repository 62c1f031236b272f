"""Pictures: image panels (by Pillow alone) and plots (by matplotlib)."""

import colorsys
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

_MARGIN = 8  # pixels around panels
_TEXT = 15  # height of titles, pixels
_INK, _PAPER = (32, 32, 32), (255, 255, 255)
_BEYOND = (0.8, 0.88, 1.0)  # where there is no image

# Of classes 1, 2, ...: told apart by most people, on photographs too.
_COLORS = (
    *((230, 25, 75), (60, 180, 75), (67, 99, 216), (255, 225, 25)),
    *((245, 130, 49), (66, 212, 244), (240, 50, 230), (70, 153, 144)),
)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """`[H, W, 1 or 3]` as uint8 RGB: 0 .. 1 for floats, the type's range for integers.

    Raises:
      ValueError: another shape.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(f"image has shape {image.shape}: must be [H, W, 1 or 3]")
    if np.issubdtype(image.dtype, np.integer):
        image = image.astype(np.float64) / np.iinfo(image.dtype).max
    image = np.nan_to_num(np.asarray(image, np.float64))
    image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(image, (*image.shape[:2], 3))


def panels(
    images: Sequence[np.ndarray] | Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] | None = None,
    *,
    scale: int | None = None,
) -> np.ndarray:
    """Images side by side, pixel by pixel, with a title above each column.

    Args:
      images: a row of images, or several rows; each `[H, W, 1 or 3]`, floats in 0 .. 1
        or integers. All are put into cells of the largest one.
      titles: one per column.
      scale: whole factor by which pixels are enlarged; default such that the smallest
        side of a cell has 160 pixels or more, without enlarging beyond 8.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      ValueError: no images, or titles that are not one per column.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not len(images):
        raise ValueError("images is empty: nothing to draw")
    rows: list = list(images) if isinstance(images[0], (list, tuple)) else [images]
    columns = max(len(row) for row in rows)
    if titles is not None and len(titles) != columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns")
    cells = [[to_uint8(image) for image in row] for row in rows]
    height = max(c.shape[0] for row in cells for c in row)
    width = max(c.shape[1] for row in cells for c in row)
    if scale is None:
        scale = int(np.clip(-(-160 // min(height, width)), 1, 8))
    font = ImageFont.load_default(_TEXT)
    needed = max((font.getlength(t) for t in titles or ()), default=0)
    step_x = max(width * scale, int(np.ceil(needed))) + _MARGIN
    step_y = height * scale + _MARGIN
    top = _MARGIN + (_TEXT + _MARGIN if titles else 0)
    size = (_MARGIN + columns * step_x, top + len(cells) * step_y)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, title in enumerate(titles or ()):
        draw.text((_MARGIN + i * step_x, _MARGIN), title, fill=_INK, font=font)
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            enlarged = np.kron(cell, np.ones((scale, scale, 1), np.uint8))
            at = (_MARGIN + c * step_x, top + r * step_y)
            sheet.paste(Image.fromarray(enlarged), at)
    return np.asarray(sheet)


def label_color(label: int) -> tuple[int, int, int]:
    """The colour of a class, RGB: bright, and unlike those of its neighbours.

    >>> label_color(1)
    (230, 25, 75)
    """
    if 1 <= label <= len(_COLORS):
        return _COLORS[label - 1]
    # Hues a golden section apart are never close for long.
    hue = label * 0.618034 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay(
    image: np.ndarray, labels: np.ndarray, *, ignore: int | None = None
) -> np.ndarray:
    """A picture with the classes of its pixels in colour over it.

    Class 0 leaves the picture as it is; what is ignored is dark grey. The outline of
    each area is opaque.

    Args:
      image: `[H, W, 1 or 3]`, floats in 0 .. 1 or integers.
      labels: integers `[H, W]`.
      ignore: the label of pixels that do not count.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      ValueError: shapes that do not fit.
    """
    base = to_uint8(image).astype(np.float64)
    labels = np.asarray(labels)
    if labels.shape != base.shape[:2]:
        raise ValueError(
            f"labels has shape {labels.shape}: must be {base.shape[:2]}, the image's"
        )
    edge = np.zeros(labels.shape, bool)
    for edges, side in ((edge, labels), (edge.T, labels.T)):
        change = side[1:] != side[:-1]
        edges[1:] |= change
        edges[:-1] |= change
    drawn = base.copy()
    for label in np.unique(labels):
        if label == 0:
            continue
        area = labels == label
        color = _INK if label == ignore else label_color(int(label))
        drawn[area] = 0.55 * base[area] + 0.45 * np.array(color)
        drawn[area & edge] = color
    return np.round(drawn).astype(np.uint8)


def segmentation(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    ignore: int | None = None,
) -> np.ndarray:
    """A row per picture: the picture | the truth over it | the prediction over it.

    Args:
      image: `[B, H, W, 1 or 3]`, floats in 0 .. 1 or integers.
      truth, prediction: integers `[B, H, W]`, the class of each pixel.
      ignore: the label of pixels that do not count.

    Returns:
      uint8 `[H, W, 3]`.

    >>> image, label = np.zeros((2, 160, 160, 1)), np.ones((2, 160, 160), int)
    >>> segmentation(image, label, label).shape
    (367, 512, 3)
    """
    rows = [
        [x, overlay(x, t, ignore=ignore), overlay(x, p)]
        for x, t, p in zip(image, truth, prediction)
    ]
    return panels(rows, ["image", "truth", "prediction"])


def grid(images: np.ndarray, *, gap: int = 1) -> np.ndarray:
    """Images of one size as one sheet, close together, on white.

    Args:
      images: `[rows, columns, H, W, 1 or 3]`, floats in 0 .. 1 or integers.
      gap: pixels between two images.

    Returns:
      uint8 `[rows (H + gap) - gap, columns (W + gap) - gap, 3]`.

    Raises:
      ValueError: another shape, or no images.

    >>> grid(np.zeros((2, 3, 28, 28, 1))).shape
    (57, 86, 3)
    """
    images = np.asarray(images)
    if images.ndim != 5 or 0 in images.shape:
        raise ValueError(
            f"images has shape {images.shape}: must be [rows, columns, H, W, 1 or 3]"
        )
    rows, columns, height, width, _ = images.shape
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(size, 255, np.uint8)
    for r in range(rows):
        for c in range(columns):
            y, x = r * (height + gap), c * (width + gap)
            sheet[y : y + height, x : x + width] = to_uint8(images[r, c])
    return sheet


def top_patches(
    patches: np.ndarray,
    projections: np.ndarray,
    *,
    columns: int = 4,
    scale: int = 1,
) -> np.ndarray:
    """Per feature map the patches that excite it, and beside them the reasons.

    Zero is grey in a projection, and each feature map has its own contrast. What lies
    beyond the image (NaN) is pale blue.

    Args:
      patches: `[maps, count, h, w, 1 or 3]`, floats in 0 .. 1.
      projections: of the same shape, any numbers.
      columns: feature maps side by side.
      scale: whole factor by which pixels are enlarged.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      ValueError: another shape, or two that differ.

    >>> top_patches(np.zeros((5, 9, 7, 7, 1)), np.zeros((5, 9, 7, 7, 1))).shape
    (54, 220, 3)
    """
    patches, projections = np.asarray(patches), np.asarray(projections)
    if patches.ndim != 5 or 0 in patches.shape or patches.shape != projections.shape:
        raise ValueError(
            f"patches has shape {patches.shape} and projections {projections.shape}: "
            "must both be [maps, count, h, w, 1 or 3]"
        )
    maps, count, *shape = patches.shape
    largest = np.nanmax(np.abs(projections), axis=(1, 2, 3, 4), keepdims=True)
    contrast = 0.5 + 0.5 * projections / np.where(largest > 0, largest, 1)
    side = int(np.ceil(np.sqrt(count)))
    blank = np.ones((side * side - count, *shape[:2], 3))
    pairs = []
    for pair in zip(patches, contrast):
        blocks = [
            grid(np.concatenate([block, blank]).reshape(side, side, *shape[:2], 3))
            for block in (np.where(np.isnan(b), _BEYOND, b) for b in pair)
        ]
        gap = np.full((blocks[0].shape[0], 3, 3), 255, np.uint8)
        pairs.append(np.concatenate([blocks[0], gap, blocks[1]], 1))
    columns = min(columns, maps)
    rows = -(-maps // columns)
    pairs += [np.full_like(pairs[0], 255)] * (rows * columns - maps)
    sheet = grid(np.stack(pairs).reshape(rows, columns, *pairs[0].shape), gap=8)
    return np.kron(sheet, np.ones((scale, scale, 1), np.uint8))


def bars(values: Mapping[str, float], *, width: int = 320) -> np.ndarray:
    """Horizontal bars of values in 0 .. 1, largest first, with names and numbers.

    Args:
      values: name to value, at most ten are drawn.
      width: of the picture, pixels.

    Returns:
      uint8 `[H, W, 3]`.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TEXT)
    shown = sorted(values.items(), key=lambda item: -item[1])[:10]
    line = _TEXT + _MARGIN
    name_width = max(font.getlength(name) for name, _ in shown) + _MARGIN
    number_width = font.getlength("100.0 %") + _MARGIN
    full = width - name_width - number_width - 2 * _MARGIN
    sheet = Image.new("RGB", (width, len(shown) * line + 2 * _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (name, value) in enumerate(shown):
        y = _MARGIN + i * line
        x = _MARGIN + name_width
        draw.text((_MARGIN, y), name, fill=_INK, font=font)
        draw.rectangle((x, y, x + max(1, full * value), y + _TEXT), fill=(51, 102, 204))
        label = f"{100 * value:.1f} %"
        draw.text((x + full + _MARGIN, y), label, fill=_INK, font=font)
    return np.asarray(sheet)


def save_plot(figure, path: str | os.PathLike) -> None:
    """Saves a matplotlib figure and closes it."""
    import matplotlib.pyplot as plt

    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def learning_curves(
    records: Sequence[Mapping[str, float]],
    names: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draws metrics over steps, one panel per name, and saves the plot.

    Args:
      records: the objects of metrics.jsonl.
      names: metrics to draw.
      path: of the picture.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 3.5))
    for axis, name in zip(np.atleast_1d(axes), names):
        points = [(r["step"], r[name]) for r in records if name in r]
        axis.plot(*zip(*points), marker="." if len(points) < 50 else None)
        axis.set_xlabel("step")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    save_plot(figure, path)


def left_over(residual: np.ndarray, *, levels: float = 3.0) -> np.ndarray:
    """What a deblurred image leaves of the measured one, grey where that is nothing.

    Noise is left over by a good result, edges of the scene by a wrong PSF or a prior
    too strong; nothing at all by one that has taken the noise for the scene.

    Args:
      residual: measured less blurred estimate, `[H, W, 1 or 3]`.
      levels: standard deviations of it that black and white stand for.

    Returns:
      float64 of the same shape, in 0 .. 1.
    """
    residual = np.asarray(residual, np.float64)
    return np.clip(0.5 + residual / (2 * levels * max(residual.std(), 1e-30)), 0, 1)


def convergence(histories: Mapping[str, np.ndarray]):
    """Draws what iterative solvers minimise, over their iterations.

    Args:
      histories: of each solver by name, `[num_iters]` or `[num_iters, batch]`, as in
        `restore.Solution`; NaN where it had stopped.

    Returns:
      A matplotlib figure, for `save_plot` or to be shown.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.5))
    for name, history in histories.items():
        history = np.asarray(history, np.float64)
        mean = history.reshape(len(history), -1).mean(1)
        axis.plot(np.arange(len(mean)), mean, label=name)
    axis.set(xscale="symlog", xlabel="iteration", ylabel="objective")
    if all(np.nanmin(h) > 0 for h in histories.values()):
        axis.set_yscale("log")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def spectra(images: Mapping[str, np.ndarray]):
    """Draws how much power images have at each fineness of detail.

    A blur takes the fine detail away until only noise is left, a flat line. A result
    that rises beyond that has amplified noise.

    Args:
      images: by name, `[H, W]`.

    Returns:
      A matplotlib figure, for `save_plot` or to be shown.

    Raises:
      ValueError: another number of axes.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.5))
    for name, image in images.items():
        axis.semilogy(*_radial_power(name, np.asarray(image, np.float64)), label=name)
    axis.set(xlabel="cycles per pixel", ylabel="power", xlim=(0, 0.5))
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def _radial_power(name: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the mean of the periodogram over rings around them.

    The image is faded out towards its border, where its sides would make a cross.
    """
    if image.ndim != 2:
        raise ValueError(f"{name} has shape {image.shape}: must be [H, W]")
    fade = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    mean = (image * fade).sum() / fade.sum()
    power = np.abs(np.fft.fft2((image - mean) * fade)) ** 2 / (fade**2).sum()
    distance = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, image.shape), indexing="ij"))
    count = min(image.shape) // 2
    rings = np.round(distance * 2 * count).astype(int).ravel()
    sums = np.bincount(rings, power.ravel())[1 : count + 1]
    return np.arange(1, count + 1) / (2 * count), sums / np.bincount(rings)[
        1 : count + 1
    ]
