"""Blocks: they cover the image, blend to one, and give what the whole image gives."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, deconvolve, denoisers, psf, tiles
from jdeconv.restore.prepared import prepare
from jdeconv.restore.problem import convolution

tiled = importlib.import_module("jdeconv.restore.tiled")


@pytest.fixture(scope="module")
def photograph():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return np.asarray(data.camera()[60:380, 100:420], np.float32) / 255


def cut(shape, window, margin, pixels, wraps=False):
    return tiles.tiling(
        shape,
        window,
        max_bytes=pixels,
        bytes_per_pixel=1,
        margin=margin,
        wraps=wraps,
    )


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize(
    "shape, window, margin, pixels",
    [
        ((100,), (5,), (9,), 64),
        ((97, 64), (5, 3), (10, 4), 60 * 60),
        ((40, 33, 50), (3, 3, 3), (4, 0, 7), 40**3),
    ],
)
def test_blocks_blend_to_the_image(shape, window, margin, pixels, wraps):
    plan = cut(shape, window, margin, pixels, wraps)
    assert plan is not None and plan.num_blocks > 1
    frame = [n + k - 1 for n, k in zip(plan.size, window)]
    assert math.prod(frame) <= pixels
    y = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    shown = []
    result = tiles.solve_in_tiles(
        lambda block: block,
        y,
        plan,
        prepare=np.asarray,
        devices=[None],
        progress=lambda done, total: shown.append((done, total)),
    )
    np.testing.assert_allclose(result, y, atol=1e-6)
    total = plan.num_blocks
    assert shown == [(i + 1, total) for i in range(total)]


def test_what_is_near_a_cut_border_does_not_count():
    plan = cut((100,), (5,), (9,), 64)
    y = np.ones((100,), np.float32)

    def spoilt(block):
        """Wrong by as many pixels as half the margin, where a block is cut."""
        return block.at[:4].set(np.nan).at[-4:].set(np.nan)

    result = tiles.solve_in_tiles(
        lambda block: jnp.nan_to_num(spoilt(block), nan=7.0),
        y,
        plan,
        prepare=np.asarray,
        devices=[None],
    )
    assert (result[4:-4] == 1).all() and result[0] == result[-1] == 7


def test_an_image_that_fits_is_not_cut():
    assert cut((100,), (5,), (9,), 108) is None


def test_memory_for_less_than_the_margins_is_refused():
    with pytest.raises(
        ValueError, match=r"max_bytes=30: this PSF of shape \(5,\) .*at"
    ):
        cut((100,), (5,), (9,), 30)


def test_the_data_reach_further_where_the_spectrum_has_zeros():
    smooth = tiles.reach(psf.gaussian(2.0), 1e-2)
    streak = tiles.reach(psf.motion(15.0, 0.0), 1e-2)
    assert max(smooth) <= 20 < 5 * 15 < streak[1]
    assert tiles.reach(psf.gaussian((1.0, 3.0)), 1e-2)[0] < smooth[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"method": "richardson_lucy"}, marks=pytest.mark.slow),
        pytest.param({"method": "wiener"}, marks=pytest.mark.slow),
        pytest.param({"likelihood": "poisson", "weight": 0.02}, marks=pytest.mark.slow),
        pytest.param(
            {"method": "wiener", "boundary": "circular"}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_equals_the_whole_image(photograph, options):
    photograph = photograph[:220, :220]
    kernel = psf.gaussian(1.5)
    boundary = options.get("boundary", "valid")
    y = np.array(Blur(kernel, photograph.shape, boundary)(jnp.asarray(photograph)))
    y += 0.01 * np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    counted = []
    method = options.get("method", "auto")
    few = 4 * tiled._FLOATS[method] * 150**2
    parts = deconvolve(
        y, kernel, max_bytes=few, progress=lambda i, n: counted.append(n), **options
    )
    whole = np.asarray(deconvolve(y, kernel, **options))
    assert isinstance(parts, np.ndarray) and len(counted) >= 4
    apart = np.abs(parts - whole) / np.ptp(y)
    inside = apart[20:-20, 20:-20]
    assert inside.max() < 1e-3
    assert apart.max() < 2e-2 and np.quantile(apart, 0.999) < 3e-3


@pytest.mark.slow
def test_colours_and_integers_come_back_as_they_came(photograph):
    y = np.round(photograph[:160, :160] * 65535).astype(np.uint16)
    y = np.stack([y, y[::-1], y.T], -1)
    options = {"method": "wiener", "weight": 0.01, "channel_axis": -1}
    kernel = psf.gaussian(1.0)
    few = 4 * tiled._FLOATS["wiener"] * 3 * 110**2
    parts = deconvolve(y, kernel, max_bytes=few, **options)
    assert parts.dtype == np.uint16 and parts.shape == y.shape
    whole = deconvolve(y, kernel, **options)
    apart = np.abs(parts.astype(float) - whole)[8:-8, 8:-8] / 65535
    assert apart.max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("shape, batch", [((128, 128), ()), ((24, 48, 48), ())])
def test_the_memory_that_is_reckoned_with_is_what_xla_takes(shape, batch):
    kernel = jnp.ones((7,) * len(shape))
    problem = convolution(jnp.zeros(batch + shape), kernel, boundary="unknown")
    frame = math.prod(tiled.tiles.fourier.fast_size(n + 6) for n in shape)
    zero = jnp.zeros(batch)
    photons = {"num_iters": 3, "boundary": "unknown", "likelihood": "poisson"}
    for method, arguments, static in (
        ("wiener", (zero, None), {"prior": "gradient", "num_iters": 9}),
        (
            "total_variation",
            (None, zero, zero, None, None),
            {
                "num_iters": 9,
                "likelihood": "poisson",
                "power": 1.0,
                "nonnegative": True,
                "boundary": "unknown",
            },
        ),
        ("plug_and_play", (None, zero, zero, zero, zero), {"denoiser": None} | photons),
        (
            "bm3d",
            (None, zero, zero, zero, zero),
            {"denoiser": denoisers.bm3d} | photons,
        ),
        (
            "richardson_lucy",
            (zero, None, None, 0.0, jnp.zeros((9,))),
            {
                "scene": problem.blur.shape,
                "shown": problem.blur.output_shape,
                "num_iters": 9,
                "rule": None,
                "damped": False,
                "accelerated": True,
                "has_tv": True,
            },
        ),
    ):
        if method == "bm3d" and len(shape) > 2:
            continue  # slice by slice, with less
        module = "plug_and_play" if method == "bm3d" else method
        solve = importlib.import_module(f"jdeconv.restore.{module}")._solve
        measured = problem.image, problem.blur
        programs = []
        if method == "richardson_lucy":
            framed = {"framed": False, "one_thread": True}
            programs.append(prepare.lower(*measured, None, 0.0, None, **framed))
            measured = (prepare(*measured, None, 0.0, None, **framed),)
        programs.append(solve.lower(*measured, *arguments, **static))
        bytes_taken = max(
            counted.temp_size_in_bytes
            + counted.argument_size_in_bytes
            + counted.output_size_in_bytes
            for counted in (p.compile().memory_analysis() for p in programs)
        )
        floats = tiled._FLOATS[method]
        assert 0.4 * floats < bytes_taken / 4 / frame < floats, method


@pytest.mark.parametrize(
    "options, message",
    [
        ({"boundary": "reflect"}, "boundary='reflect': with max_bytes only 'unknown'"),
        ({"max_bytes": 100.0}, "max_bytes=100: this PSF of shape"),
    ],
)
def test_says_what_is_wrong(photograph, options, message):
    with pytest.raises(ValueError, match=message):
        deconvolve(photograph, psf.gaussian(1.5), **{"max_bytes": 1e5, **options})


def test_neither_tracers_nor_operators_are_cut(photograph):
    y, kernel = jnp.asarray(photograph), psf.gaussian(1.5)
    with pytest.raises(ValueError, match="not inside jit"):
        jax.jit(lambda y: deconvolve(y, kernel, max_bytes=1e6))(y)
    blur = Blur(kernel, y.shape, "zero")
    with pytest.raises(ValueError, match="not operators"):
        deconvolve(y, blur, method="richardson_lucy", max_bytes=1e6)


def test_pixels_that_are_no_numbers_are_counted_in_the_whole(photograph):
    y = photograph.copy()
    y[3, 4] = y[300, 300] = np.nan
    with pytest.raises(ValueError, match="y has 2 of 102400 pixels"):
        deconvolve(y, psf.gaussian(1.5), max_bytes=4e6)
