"""Lenses: Bessel functions, closed forms, quadrature in float64, and derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jdeconv.restore import psf
from jdeconv.restore.psf import bessel
from tests.parameters import fast_if

LENS = {"wavelength": 0.52, "na": 1.4, "pixel_size": 0.08}


def distances(shape, pixel_size=1.0):
    down, right = (np.arange(n) - (n - 1) // 2 for n in shape)
    return pixel_size * np.hypot(down[:, None], right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bessel_functions(dtype):
    x = np.concatenate([np.linspace(0, 40, 4001), np.linspace(40, 1000, 997)])
    x = x.astype(dtype)
    wide = x.astype("float64")
    first = 2 * special.j1(wide) / np.where(wide > 0, wide, 1) + (wide == 0)
    eps = np.finfo(dtype).eps
    with jax.enable_x64(dtype == "float64"):
        for computed, expected in (
            (bessel.j0(jnp.asarray(x)), special.j0(wide)),
            (bessel.jinc(jnp.asarray(-x)), first),
            (jax.vmap(jax.grad(bessel.j0))(x), -special.j1(wide)),
        ):
            assert computed.dtype == dtype
            assert np.max(np.abs(computed - expected) / (1 + np.sqrt(wide))) < 8 * eps


def test_airy_and_telescope_equal_their_formulas():
    shape = (33, 30)
    v = 2 * np.pi * 1.4 / 0.52 * distances(shape, 0.08)
    expected = (2 * special.j1(v) / np.where(v > 0, v, 1) + (v == 0)) ** 2
    kernel = psf.airy(0.52, 1.4, 0.08, shape)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-7)
    radians = distances(shape, 0.02) * np.pi / 180 / 3600
    v = np.pi * 2.4 * radians / 633e-9
    wave = special.j1(v) - 0.33 * special.j1(0.33 * v)
    expected = (2 * wave / np.where(v > 0, v, 1) + (v == 0) * (1 - 0.33**2)) ** 2
    kernel = psf.telescope(633e-9, 2.4, 0.02, shape, obstruction=0.33)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-7)
    # To the fifth dark ring: 1 - J_0(v)^2 of the light, Rayleigh.
    wide, default = psf.airy(0.52, 1.4, 0.02, (901, 901)), psf.airy(0.52, 1.4, 0.02)
    radius = (default.shape[0] - 1) // 2
    within = wide[450 - radius : 451 + radius, 450 - radius : 451 + radius].sum()
    assert 0.96 < within < 0.98


def integrated(shape, *, z_step, layers=(), depth=0.0, ns=1.33, ni=1.515, na, **lens):
    """Trapezoids in float64, of the roots as they are written.

    layers: (thickness, index, thickness by design, index by design) of what lies
    between lens and sample, the immersion medium first; none is Born and Wolf's.
    """
    angle = np.linspace(0, np.pi / 2, 20001)
    p, k = np.sin(angle), 2 * np.pi / lens["wavelength"]
    sines = na * p
    weights = p * np.cos(angle) * np.where((angle == 0) | (p == 1), 0.5, 1)

    def root(index):
        return np.sqrt(index**2 - sines**2 + 0j)

    radii, which = np.unique(distances(shape[1:]), return_inverse=True)
    rays = weights[:, None] * special.j0(
        k * lens["pixel_size"] * sines[:, None] * radii
    )
    planes = []
    for z in z_step * (np.arange(shape[0]) - (shape[0] - 1) // 2):
        if layers:
            (ti0, _, _, ni0), (tg, ng, tg0, ng0) = layers
            ti = z + ni * (-depth / ns - tg / ng + tg0 / ng0 + ti0 / ni0)
            path = ti * root(ni) - ti0 * root(ni0) + depth * root(ns)
            path = path + tg * root(ng) - tg0 * root(ng0)
        else:
            path = -(sines**2) * z / (2 * ni)
        wave = np.exp(1j * k * (path - path[0])) @ rays
        planes.append((np.abs(wave) ** 2)[which.reshape(shape[1:])])
    return np.stack(planes) / np.sum(planes)


MICROSCOPES = {
    "by design": {},
    "deep": {"depth": 2.0},  # beyond the critical angle: na > ns
    "wrong oil and glass": {"depth": 10.0, "ni": 1.51, "tg": 171.0, "ni0": 1.515},
    "water": {
        **{"na": 1.2, "ns": 1.38, "depth": 5.0, "ni": 1.33, "ni0": 1.335},
        **{"ng": 1.52, "ng0": 1.515},
    },
}


@pytest.mark.parametrize("case", fast_if(MICROSCOPES, ("deep", "water")))
def test_gibson_lanni_equals_the_integral(case):
    given = LENS | {"z_step": 0.3} | MICROSCOPES[case]
    shape = (8, 23, 24)
    ni, ng, tg = (
        given.get(k, v) for k, v in (("ni", 1.515), ("ng", 1.515), ("tg", 170))
    )
    layers = (
        (150.0, ni, 150.0, given.get("ni0", ni)),
        (tg, ng, given.get("tg0", 170.0), given.get("ng0", ng)),
    )
    known = {k: v for k, v in given.items() if k not in ("ni0", "ng", "ng0", "tg")}
    expected = integrated(shape, layers=layers, **known)
    kernel = psf.gibson_lanni(shape, tg0=170.0, **given)
    np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(kernel, expected, atol=5e-5 * expected.max())


def test_born_wolf_equals_the_integral_and_keeps_the_light_of_each_plane():
    shape = (9, 21, 21)
    kernel = psf.born_wolf(shape, z_step=0.25, **LENS)
    expected = integrated(shape, z_step=0.25, **LENS)
    np.testing.assert_allclose(kernel, expected, atol=2e-6 * expected.max())
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-6 * kernel.max())
    focus = kernel[4] / kernel[4].sum()
    np.testing.assert_allclose(focus, psf.airy(0.52, 1.4, 0.08, shape[1:]), atol=4e-7)
    # By Parseval each plane has the light of the pupil, once the frame holds it.
    wide = psf.born_wolf((5, 201, 201), z_step=0.3, **LENS)
    np.testing.assert_allclose(wide.sum((1, 2)), 0.2, rtol=0.01)


@pytest.mark.slow
def test_default_shapes_of_microscopes_hold_the_light():
    lens = {"wavelength": 0.6, "na": 0.8, "pixel_size": 0.2, "z_step": 1.0}
    kernel = psf.gibson_lanni(ni=1.0, ns=1.0, **lens)
    planes, rows, columns = kernel.shape
    assert planes % 2 == rows % 2 == 1 and rows == columns
    light = kernel.sum((1, 2))
    assert light.min() > 0.9 * light.max()


def test_zernike_polynomials_are_orthonormal_in_nolls_order():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    radius, angle = (nodes + 1) / 2, 2 * np.pi * np.arange(32) / 32
    x, y = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    mean = np.repeat(weights * radius / 32, 32)
    with jax.enable_x64(True):
        values = [psf.zernike(j, jnp.asarray(x), jnp.asarray(y)) for j in range(1, 23)]
    values = np.reshape(values, (22, -1))
    np.testing.assert_allclose(values * mean @ values.T, np.eye(22), atol=1e-12)
    # Noll's table: 7 and 9 are sines, 8 and 10 cosines; 11 is spherical aberration.
    r, t = np.hypot(x, y), np.arctan2(y, x)
    for j, expected in {
        5: 6**0.5 * r**2 * np.sin(2 * t),
        7: 8**0.5 * (3 * r**3 - 2 * r) * np.sin(t),
        10: 8**0.5 * r**3 * np.cos(3 * t),
        11: 5**0.5 * (6 * r**4 - 6 * r**2 + 1),
    }.items():
        np.testing.assert_allclose(values[j - 1], expected.ravel(), atol=1e-12)


def test_aberrated_equals_airy_telescope_and_gibson_lanni():
    shape = (33, 30)
    plain = psf.aberrated({}, shape, **LENS)
    np.testing.assert_allclose(plain, psf.airy(0.52, 1.4, 0.08, shape), atol=4e-7)
    ring = psf.aberrated({1: 0.3}, shape, obstruction=0.4, **LENS)
    pixel = 0.08 * 2 * 180 * 3600 / np.pi  # seconds of arc, of an opening of 1.4
    expected = psf.telescope(0.52, 1.4, pixel, shape, obstruction=0.4)
    np.testing.assert_allclose(ring, expected, atol=4e-7)
    water = {"wavelength": 0.52, "na": 1.2, "pixel_size": 0.09, "z_step": 0.3}
    stack = psf.aberrated({}, (7, 25, 25), ni=1.33, **water)
    expected = psf.gibson_lanni((7, 25, 25), ns=1.33, ni=1.33, ng=1.33, **water)
    np.testing.assert_allclose(stack, expected, atol=1e-5 * expected.max())


def test_aberrations_move_and_dim_as_they_should():
    shape = (35, 35)
    peak = psf.aberrated({}, shape, **LENS).max()
    # Marechal: a small aberration of w wavelengths dims the peak by exp(-(2 pi w)^2).
    dim = psf.aberrated({5: 0.03}, shape, **LENS).max() / peak
    np.testing.assert_allclose(dim, np.exp(-((2 * np.pi * 0.03) ** 2)), rtol=2e-3)
    # A tilt of 2 rms: W = 2 w x, so the image moves by 2 w wavelength / na.
    tilted = psf.aberrated({2: 1.4 / 0.52 * 0.08 * 3 / 2}, shape, **LENS)
    assert abs(int(tilted.argmax()) - (17 * 35 + 17)) == 3
    down = psf.aberrated({3: 1.4 / 0.52 * 0.08 * 3 / 2}, shape, **LENS)
    np.testing.assert_allclose(down, tilted.T, atol=1e-7)


@pytest.mark.parametrize(
    "make, at, step",
    [
        (lambda v: psf.airy(v, 1.4, 0.08, (9, 9)), 0.52, 1e-3),
        (lambda v: psf.telescope(6e-7, 2.4, 0.02, (9, 9), obstruction=v), 0.3, 1e-3),
        (lambda v: _lanni(depth=v), 2.0, 1e-3),
        pytest.param(lambda v: _lanni(ns=v), 1.36, 1e-5, marks=pytest.mark.slow),
        (lambda v: _lanni(na=v), 1.4, 1e-5),
        pytest.param(
            lambda v: _lanni(na=v, ns=1.45), 1.4, 1e-5, marks=pytest.mark.slow
        ),
        pytest.param(
            lambda v: _lanni(tg=v, ng=1.53), 172.0, 1e-3, marks=pytest.mark.slow
        ),
        (lambda v: _lanni(pixel_size=v), 0.1, 1e-5),
        (lambda v: psf.aberrated({5: v}, (9, 9), **LENS), 0.1, 1e-4),
        pytest.param(
            lambda v: psf.aberrated({5: 0.1}, (9, 9), **(LENS | {"na": v})),
            1.3,
            1e-4,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_derivatives(make, at, step):
    """In float64, where finite differences tell more than two digits."""
    with jax.enable_x64(True):
        make = jax.jit(make)
        weights = np.random.default_rng(0).normal(size=make(at).shape)
        ahead, behind = make(at + step), make(at - step)
        slope = np.sum((ahead - behind) * weights) / (2 * step)
        _, tangent = jax.jvp(make, (at,), (1.0,))
        np.testing.assert_allclose(np.sum(tangent * weights), slope, rtol=1e-3)


def _lanni(**change):
    given = LENS | {"z_step": 0.4, "depth": 3.0, "tg0": 170.0} | change
    return psf.gibson_lanni((3, 7, 7), **given)


@pytest.mark.slow
def test_reverse_mode_fits_a_depth():
    shape = (5, 9, 9)
    make = functools.partial(psf.gibson_lanni, shape, z_step=0.4, **LENS)
    target = make(depth=4.0)

    def loss(depth):
        return jnp.sum((make(depth=depth) - target) ** 2) / jnp.sum(target**2)

    slopes = jax.jit(jax.vmap(jax.grad(loss)))(jnp.array([3.0, 4.0, 5.0]))
    assert slopes[0] < 0 < slopes[2]
    assert abs(slopes[1]) < 1e-3 * slopes[2]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: psf.airy(0.0, 1.4, 0.1), "wavelength=0.0: must be > 0"),
        (lambda: psf.airy(0.5, 1.4, 0.1, (3,)), "airy has two axes"),
        (
            lambda: psf.telescope(6e-7, 2.4, 0.1, obstruction=1.0),
            r"must be in \[0, 1\)",
        ),
        (lambda: _lanni(na=1.6), "na=1.6: must be below ni=1.515"),
        (lambda: _lanni(depth=-1.0), "depth=-1.0: must be >= 0"),
        (lambda: _lanni(ns=0.0), "ns=0.0: must be > 0"),
        (
            lambda: psf.born_wolf((5, 5), z_step=0.1, **LENS),
            r"shape=\(5, 5\): born_wolf has three axes",
        ),
        (lambda: psf.aberrated({0: 1.0}, **LENS), "Noll's index begins at 1"),
        (lambda: psf.aberrated({}, (3, 3, 3), **LENS), "z_step=None: must be given"),
        (lambda: psf.aberrated({}, (3,), **LENS), "two or three axes"),
        (
            lambda: jax.jit(lambda na: psf.airy(0.5, na, 0.1))(1.0),
            "must be given where parameters are traced",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
