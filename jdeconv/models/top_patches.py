"""What a feature map looks for: its strongest activations over a data set.

For each feature map the images that excite it most, the patch that the unit sees in
each, and beside it the unit projected back to pixels: figure 2 of Zeiler and Fergus,
"Visualizing and understanding convolutional networks", 2014.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.models.deconvnet import project
from jdeconv.ops.lowering import choose

Features = Callable[[Array], Array]


class Strongest(NamedTuple):
    """What `strongest` returns, per feature map in descending order.

    values: `[channels, count]`, the activations.
    examples: `[channels, count]`, the places of their images in the data.
    positions: `[channels, count, grid axes]`, where on the grid they are.
    images: `[channels, count, H, W, C]`.
    """

    values: np.ndarray
    examples: np.ndarray
    positions: np.ndarray
    images: np.ndarray


def strongest(
    features: Features,
    batches: Iterable[np.ndarray],
    *,
    channels: Sequence[int] | None = None,
    count: int = 9,
) -> Strongest:
    """The images with the strongest activations of each feature map, one unit each.

    One pass over the data, of which `count` images per feature map are kept.

    Args:
      features: images to activations `[batch, *grid, channels]`, as for `project`.
      batches: images `[batch, H, W, C]`, in batches.
      channels: the feature maps wanted; default all.
      count: images per feature map; fewer when there are not so many.

    Raises:
      ValueError: no images, a count below 1.

    >>> images = np.arange(12.0).reshape(6, 1, 2, 1)
    >>> strongest(lambda x: -x, [images[:4], images[4:]], count=2).examples
    array([[0, 1]])
    """
    if count < 1:
        raise ValueError(f"count={count!r}: must be at least 1")

    @jax.jit
    def maxima(x):
        y = features(x)
        y = y if channels is None else y[..., np.asarray(channels)]
        maps = y.reshape(y.shape[0], -1, y.shape[-1])
        at = jnp.unravel_index(maps.argmax(1), y.shape[1:-1]) if y.ndim > 2 else []
        places = [p[..., None] for p in at] or [jnp.zeros((*maps[:, 0].shape, 0), int)]
        return maps.max(1), jnp.concatenate(places, -1)

    best: Strongest | None = None
    seen = full = 0
    for batch in batches:
        x = np.asarray(batch)
        size = len(x)
        full = max(full, size)
        # A last, smaller batch is filled up: one program serves all.
        filled = np.concatenate([x, np.zeros((full - size, *x.shape[1:]), x.dtype)])
        values, positions = (np.asarray(a)[:size] for a in maxima(filled))
        maps = values.shape[1]
        examples = np.broadcast_to(np.arange(seen, seen + size), (maps, size))
        found = [values.T, examples, positions.swapaxes(0, 1)]
        if best is not None:
            found = [np.concatenate(pair, 1) for pair in zip(best, found)]
        order = np.argsort(-found[0], axis=1, kind="stable")[:, :count]
        rows = np.arange(maps)[:, None]
        kept = 0 if best is None else best.values.shape[1]
        images = np.empty((*order.shape, *x.shape[1:]), x.dtype)
        for row, column in np.ndindex(*order.shape):
            source = order[row, column]
            images[row, column] = (
                best.images[row, source]
                if best is not None and source < kept
                else x[source - kept]
            )
        values, examples, positions = (a[rows, order] for a in found)
        best = Strongest(values, examples, positions, images)
        seen += size
    if best is None:
        raise ValueError("batches is empty: there are no images")
    return best


def receptive_fields(
    features: Features, image_shape: Sequence[int], *, batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """The rows and the columns of the image that each unit of a grid can see.

    Found by experiment, so that it holds for any network: an image with one row of NaN
    makes NaN of exactly the units that see that row, whatever the weights are. (Layers
    that name an `algorithm` other than "auto" or "lhs_dilation" may see too much.)

    Args:
      features: images to activations `[batch, height, width, channels]`.
      image_shape: (H, W, C).
      batch_size: images per experiment; H + W experiments are made.

    Returns:
      rows `[height, 2]` and columns `[width, 2]`: first, and last plus one, within the
      image. Activations without a grid see the whole image: `[1, 2]` each.

    Raises:
      ValueError: activations on a grid of another number of axes.

    >>> from jdeconv import ops
    >>> rows, columns = receptive_fields(lambda x: ops.max_pool(x, 2), (4, 6, 1))
    >>> rows.tolist(), columns.tolist()
    ([[0, 2], [2, 4]], [[0, 2], [2, 4], [4, 6]])
    """
    blank = jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32)
    grid = jax.eval_shape(features, blank).shape[1:-1]
    if not grid:
        return tuple(np.array([[0, n]]) for n in image_shape[:2])  # type: ignore
    if len(grid) != 2:
        raise ValueError(
            f"features has a grid of {grid}: must be [batch, height, width, channels]"
        )

    @jax.jit
    def blinded(x):
        y = jnp.isnan(features(x)).any(-1)
        return y.any(2), y.any(1)

    fields = []
    for axis, size in enumerate(image_shape[:2]):
        sees = np.zeros((size, grid[axis]), bool)
        for start in range(0, size, batch_size):
            lines = np.arange(start, min(start + batch_size, size))
            x = np.zeros(blank.shape, np.float32)
            np.moveaxis(x, 1 + axis, 1)[np.arange(len(lines)), lines] = np.nan
            # The precision has no bearing; it makes jit trace `features` anew.
            with choose.stock_alone(), jax.default_matmul_precision("float32"):
                seen = blinded(x)[axis]
            sees[lines] = np.asarray(seen)[: len(lines)]
        last = size - sees[::-1].argmax(0)
        # A unit that sees nothing, such as one on a margin, has an empty field.
        fields.append(np.stack([sees.argmax(0), np.where(sees.any(0), last, 0)], 1))
    return fields[0], fields[1]


class TopPatches(NamedTuple):
    """What `top_patches` returns; the first axes are `[channels, count]`.

    patches: `[..., h, w, C]`, what the units see; NaN beyond the image.
    projections: of the same shape, what in it excites them; NaN beyond the image.
    values, examples: as in `Strongest`.
    """

    patches: np.ndarray
    projections: np.ndarray
    values: np.ndarray
    examples: np.ndarray


def top_patches(
    features: Features,
    batches: Iterable[np.ndarray],
    *,
    channels: Sequence[int],
    count: int = 9,
    method: str = "deconvnet",
) -> TopPatches:
    """The strongest activations of feature maps, and why: for `figures.top_patches`.

    Args:
      features, batches, count: as in `strongest`.
      channels: the feature maps wanted.
      method: as in `project`.
    """
    best = strongest(features, batches, channels=channels, count=count)
    maps, found, *image_shape = best.images.shape
    which = np.repeat(np.asarray(channels), found)
    positions = best.positions.reshape(maps * found, -1)

    @jax.jit
    def down(x):
        return project(features, x, which, positions=positions, method=method).pixels

    images = best.images.reshape(-1, *image_shape)
    projections = np.asarray(down(images))
    rows, columns = receptive_fields(features, image_shape)
    if not positions.shape[1]:
        positions = np.zeros((maps * found, 2), int)
    height, width = (int(np.ptp(field, axis=1).max()) for field in (rows, columns))
    patches, cut = (
        np.stack(
            [
                _window(_window(image, 0, rows[i], height), 1, columns[j], width)
                for image, (i, j) in zip(stack, positions)
            ]
        ).reshape(maps, found, height, width, image_shape[-1])
        for stack in (images, projections)
    )
    return TopPatches(patches, cut, best.values, best.examples)


def _window(image: np.ndarray, axis: int, field: np.ndarray, size: int) -> np.ndarray:
    """A field along one axis, with NaN where a field of full size leaves the image."""
    first, last = field
    missing = size - (last - first)
    margins = [(0, 0)] * image.ndim
    near_start = first < image.shape[axis] - last
    margins[axis] = (missing, 0) if near_start else (0, missing)
    part = np.take(image, np.arange(first, last), axis).astype(np.float32)
    return np.pad(part, margins, constant_values=np.nan)
