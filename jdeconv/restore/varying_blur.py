"""Blur that changes over the image: a grid of PSFs, interpolated between its nodes.

    A x = sum over nodes k of  H_k (w_k x)

where H_k is the convolution with the PSF measured at node k and w_k the tent function
that is 1 there and 0 at the nodes around, so that they sum to 1 everywhere. A point at
s thus becomes the image sum_k w_k(s) psf_k, placed at s: PSFs are interpolated, their
flux and sign are kept, and PSFs that change linearly are reproduced exactly. The
weights act on the scene, not on the blurred image, where the interpolation would be of
the transposed operator and would not keep the flux (Denis et al. 2015, "Fast
approximations of shift-variant blur"; Nagy and O'Leary 1998, "Restoring images degraded
by spatially variant blur").
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jdeconv.ops import fourier
from jdeconv.ops.boundary import pad, pad_transpose
from jdeconv.restore.blur import BOUNDARIES, check_image, default_center, visible


@jax.tree_util.register_pytree_node_class
class VaryingBlur:
    """Linear operator from images `[*batch, *shape]` to ones blurred by a grid of PSFs.

    Called and transposed as `Blur`; a pytree whose leaves are the PSFs and their
    transfer functions. Each node's part of the scene, two cells wide, is transformed by
    itself: where PSFs are small beside cells, in 2-D the work is that of four uniform
    blurs, however many nodes there are.

    Attributes:
      psfs: `[*grid, *window]`.
      shape, output_shape, boundary, center: as of `Blur`.
      nodes: per axis, where the nodes are, in pixels of the scene.
    """

    def __init__(
        self,
        psfs: Array,
        shape: Sequence[int],
        boundary: str = "zero",
        *,
        nodes: Sequence[Sequence[float]] | None = None,
        center: Sequence[int] | None = None,
    ):
        """Checks the arguments and computes the transfer functions.

        Args:
          psfs: `[*grid, *window]`, one PSF per node, real and floating; used as they
            are, not normalised.
          shape: spatial sizes of the scene.
          boundary: as of `Blur`. Beyond the frame the PSF is that of the outermost
            node; with "circular" the scene's own.
          nodes: per axis, one position per node in pixels of the scene, ascending;
            the middles of as many equal cells if None.
          center: index into each PSF; (n - 1) // 2 on each axis if None.

        Raises:
          ValueError: an unknown boundary, other than two axes of psfs per axis of the
            scene, a PSF larger than the scene, nodes that do not ascend or do not fit
            the grid, a centre outside the PSF, PSFs that are not real and floating.
        """
        psfs = jnp.asarray(psfs)
        shape = tuple(int(n) for n in shape)
        d = len(shape)
        if boundary not in BOUNDARIES:
            raise ValueError(
                f"boundary={boundary!r}: must be one of {', '.join(BOUNDARIES)}"
            )
        if not jnp.issubdtype(psfs.dtype, jnp.floating):
            raise ValueError(f"psfs of {psfs.dtype}: must be real and floating")
        if psfs.ndim != 2 * d or 0 in psfs.shape:
            raise ValueError(
                f"psfs of shape {psfs.shape}: must be [*grid, *window], {d} axes each, "
                f"none empty, for images {shape}"
            )
        grid, window = psfs.shape[:d], psfs.shape[d:]
        if any(k > n for k, n in zip(window, shape)):
            raise ValueError(f"psfs of {window}: no axis may be longer than in {shape}")
        center = default_center(window) if center is None else tuple(center)
        if len(center) != d or not all(0 <= c < k for c, k in zip(center, window)):
            raise ValueError(
                f"center={center}: must be an index into a psf of {window}"
            )
        middles = [(np.arange(m) + 0.5) * n / m - 0.5 for m, n in zip(grid, shape)]
        places = tuple(tuple(map(float, axis)) for axis in nodes or middles)
        if tuple(map(len, places)) != grid or any(
            not b > a for axis in places for a, b in itertools.pairwise(axis)
        ):
            raise ValueError(
                f"nodes={nodes!r}: must be {' and '.join(map(str, grid))} positions, "
                "ascending"
            )
        self.psfs, self.shape, self.boundary = psfs, shape, boundary
        self.center, self.nodes = center, places
        self._otfs: Any = fourier.transform(psfs, self._transformed)

    def tree_flatten(self):
        """Leaves, and what must be equal for two programs to be the same."""
        static = (self.shape, self.boundary, self.center, self.nodes)
        return (self.psfs, self._otfs), static

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """The inverse of `tree_flatten`; leaves may be whatever a transform uses."""
        self = object.__new__(cls)
        self.psfs, self._otfs = leaves
        self.shape, self.boundary, self.center, self.nodes = static
        return self

    @property
    def num_axes(self) -> int:
        """How many of an image's axes are spatial, the last ones."""
        return len(self.shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial sizes of the blurred image."""
        if self.boundary != "valid":
            return self.shape
        return tuple(n - k + 1 for n, k in zip(self.shape, self._window))

    @property
    def _window(self) -> tuple[int, ...]:
        return self.psfs.shape[len(self.shape) :]

    def __call__(self, x: Array) -> Array:
        """The blurred image.

        Args:
          x: `[*batch, *shape]`, floating or complex.

        Returns:
          `[*batch, *output_shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        check_image(x, self.shape)
        return _blurred(self, x)

    def adjoint(self, y: Array) -> Array:
        """The Hermitian adjoint: <blur(x), y> == <x, blur.adjoint(y)> for all x and y.

        Args:
          y: `[*batch, *output_shape]`.

        Returns:
          `[*batch, *shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        check_image(y, self.output_shape)
        return _adjoint(self, y)

    def crop(self, scene: Array) -> Array:
        """The part of a scene `[*batch, *shape]` that the blurred image shows."""
        if self.boundary != "valid":
            return scene
        return visible(scene, self._window, self.center)

    # The scene is put on a frame that has what the boundary says around it. There it is
    # cut into parts, which blur without bounds and are added up on a frame larger by
    # psf - 1, where light that left its pixel towards -center has index 0.

    @property
    def _margins(self) -> list[tuple[int, int]]:
        """Of the scene on its frame."""
        if self.boundary in ("reflect", "edge"):
            return [(k - 1 - c, c) for k, c in zip(self._window, self.center)]
        return [(0, 0)] * self.num_axes

    @property
    def _frame(self) -> tuple[int, ...]:
        return tuple(n + sum(m) for n, m in zip(self.shape, self._margins))

    @property
    def _cuts(self) -> list[tuple[list[int], np.ndarray]]:
        """Per axis, where each node's part starts, and its weights `[node, size]`."""
        cuts = []
        for axis, (lo, _), size in zip(self.nodes, self._margins, self._frame):
            at = np.arange(size) - lo
            tents = np.stack([np.interp(at, axis, tent) for tent in np.eye(len(axis))])
            # A node that lies two nodes beyond the frame has no part in it.
            used = [np.flatnonzero(t) if t.any() else np.zeros(1, int) for t in tents]
            width = max(u[-1] - u[0] + 1 for u in used)
            starts = [min(int(u[0]), int(size - width)) for u in used]
            weights = [t[s : s + width] for t, s in zip(tents, starts)]
            cuts.append((starts, np.stack(weights)))
        return cuts

    @property
    def _transformed(self) -> tuple[int, ...]:
        """Size of the transforms: parts with room for the PSF."""
        parts = zip(self._cuts, self._window)
        return tuple(fourier.fast_size(w.shape[1] + k - 1) for (_, w), k in parts)

    def _weigh(self, parts: Array) -> Array:
        for a, (_, weights) in enumerate(self._cuts):
            sizes = [1] * (2 * self.num_axes)
            sizes[a], sizes[a + self.num_axes] = weights.shape
            parts = parts * jnp.asarray(weights.reshape(sizes), parts.dtype)
        return parts

    def _forward(self, x: Array) -> Array:
        starts = [s for s, _ in self._cuts]
        widths = [w.shape[1] for _, w in self._cuts]
        frame = self._transformed
        if self.boundary in ("reflect", "edge"):
            x = pad(x, _lead(x, self._margins), self.boundary)
        parts = self._weigh(_cut(x, starts, widths))
        spectra = fourier.transform(parts, frame) * self._otfs
        parts = fourier.inverse(spectra, frame, real=True)
        grown = [w + k - 1 for w, k in zip(widths, self._window)]
        parts = parts[(..., *map(slice, grown))]
        total = [n + k - 1 for n, k in zip(self._frame, self._window)]
        image = _paste(parts, starts, total)
        mode = "circular" if self.boundary == "circular" else "zero"
        return pad_transpose(image, _lead(image, self._beyond), mode)

    def _backward(self, y: Array) -> Array:
        starts = [s for s, _ in self._cuts]
        widths = [w.shape[1] for _, w in self._cuts]
        frame = self._transformed
        mode = "circular" if self.boundary == "circular" else "zero"
        image = pad(y, _lead(y, self._beyond), mode)
        parts = _cut(image, starts, [w + k - 1 for w, k in zip(widths, self._window)])
        spectra = fourier.transform(parts, frame) * jnp.conj(self._otfs)
        parts = fourier.inverse(spectra, frame, real=True)[(..., *map(slice, widths))]
        x = _paste(self._weigh(parts), starts, self._frame)
        if self.boundary in ("reflect", "edge"):
            x = pad_transpose(x, _lead(x, self._margins), self.boundary)
        return x

    @property
    def _beyond(self) -> list[tuple[int, int]]:
        """What the sums have on each side beyond the blurred image."""
        pairs = zip(self._window, self.center)
        if self.boundary in ("zero", "circular"):
            return [(c, k - 1 - c) for k, c in pairs]
        return [(k - 1, k - 1) for k, _ in pairs]


@functools.partial(jax.jit, inline=True)
def _blurred(blur: VaryingBlur, x: Array) -> Array:
    if jnp.iscomplexobj(x):
        return blur._forward(x.real) + 1j * blur._forward(x.imag)
    return blur._forward(x)


@functools.partial(jax.jit, inline=True)
def _adjoint(blur: VaryingBlur, y: Array) -> Array:
    if jnp.iscomplexobj(y):
        return blur._backward(y.real) + 1j * blur._backward(y.imag)
    return blur._backward(y)


def _lead(image: Array, margins: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Margins of all axes, none of the batch's."""
    return [(0, 0)] * (image.ndim - len(margins)) + margins


def _cut(x: Array, starts: list[list[int]], widths: Sequence[int]) -> Array:
    """`[*batch, *sizes]` to overlapping parts, `[*batch, *grid, *widths]`."""
    d = len(starts)
    batch = x.ndim - d
    for a, (firsts, width) in enumerate(zip(starts, widths)):
        axis = x.ndim - d + a
        parts = [lax.slice_in_dim(x, s, s + width, axis=axis) for s in firsts]
        x = jnp.stack(parts, axis=batch + a)
    return x


def _paste(parts: Array, starts: list[list[int]], sizes: Sequence[int]) -> Array:
    """The transpose of `_cut`: parts added up in their places."""
    d = len(starts)
    batch = parts.ndim - 2 * d
    for a in reversed(range(d)):
        pieces = jnp.moveaxis(parts, batch + a, 0)
        axis = pieces.ndim - 1 - d + a
        shape = list(pieces.shape[1:])
        width, shape[axis] = shape[axis], sizes[a]
        parts = jnp.zeros(shape, pieces.dtype)
        for piece, s in zip(pieces, starts[a]):
            there = lax.slice_in_dim(parts, s, s + width, axis=axis)
            parts = lax.dynamic_update_slice_in_dim(parts, there + piece, s, axis=axis)
    return parts
