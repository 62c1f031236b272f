"""A PSF by name: "gaussian:2.5", "motion:15,30", "gibson-lanni:na=1.4,wavelength=0.52".

What the command line takes. After the name come numbers, in the order of the function's
parameters or by name; underscores may be written as hyphens.
"""

import inspect
import math
from collections.abc import Callable

from jax import Array

from jdeconv.restore.psf.airy import airy, telescope
from jdeconv.restore.psf.microscope import born_wolf, gibson_lanni
from jdeconv.restore.psf.shapes import disk, gaussian, motion
from jdeconv.restore.psf.zernike import aberrated

_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "gaussian": gaussian,
    "motion": motion,
    "disk": disk,
    "airy": airy,
    "telescope": telescope,
    "born-wolf": born_wolf,
    "gibson-lanni": gibson_lanni,
    "zernike": aberrated,
}
NAMES = tuple(_FUNCTIONS)


def parse(text: str) -> Array:
    """The PSF that a text names.

    Args:
      text: "NAME:VALUE,VALUE,KEY=VALUE,...". Names are those of this package's
        functions (`NAMES`) and values their parameters, all numbers:

            gaussian:2.5                      std in pixels; 1.5,2,2 one per axis;
                                              2,num_axes=3 for a volume
            motion:15,30                      length in pixels, angle in degrees
            disk:4                            radius in pixels
            airy:0.52,1.4,0.1                 wavelength, na, pixel_size
            telescope:633e-9,2.4,0.04,obstruction=0.33
            gibson-lanni:wavelength=0.52,na=1.4,pixel_size=0.1,z_step=0.2,depth=5
            born-wolf:wavelength=0.52,na=1.4,pixel_size=0.1,z_step=0.2
            zernike:wavelength=0.52,na=1.4,pixel_size=0.1,z5=0.1,z8=-0.05

        `shape=33x33` or, of three axes, `shape=31x65x65` gives the size.

    Returns:
      Array that sums to 1.

    Raises:
      ValueError: an unknown name or key, a value that is no number, one that is
        missing or given twice, or one that the function refuses; says what is legal.

    >>> parse("disk:2").shape, parse("gaussian:1,num-axes=3,shape=3x5x5").shape
    ((7, 7), (3, 5, 5))
    """
    name, _, rest = text.partition(":")
    name = name.strip().lower().replace("_", "-")
    if name not in _FUNCTIONS:
        raise ValueError(f"psf {text!r}: its name must be one of {', '.join(NAMES)}")
    function = _FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    keys = [k for k in parameters if k not in ("shape", "coefficients")]
    plain = [
        k for k in keys if parameters[k].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    zernikes: dict[int, float] = {}
    arguments: dict[str, object] = {}
    numbers: list[float] = []
    for part in filter(None, map(str.strip, rest.split(","))):
        key, equals, value = (s.strip() for s in part.partition("="))
        if not equals:
            numbers.append(_number(text, key, "a value"))
            continue
        key = key.lower().replace("-", "_")
        is_zernike = name == "zernike" and key[:1] == "z" and key[1:].isdigit()
        if key in arguments or (is_zernike and int(key[1:]) in zernikes):
            raise ValueError(f"psf {text!r}: {key} is given twice")
        if is_zernike:
            zernikes[int(key[1:])] = _number(text, value, key)
        elif key == "shape":
            arguments[key] = _shape(text, value)
        elif key in keys:
            whole = parameters[key].annotation is int
            arguments[key] = _number(text, value, key, whole=whole)
        else:
            legal = [*keys, *(["z1, z2, ..."] if name == "zernike" else []), "shape"]
            raise ValueError(f"psf {text!r}: {key} must be one of {', '.join(legal)}")
    if name == "gaussian" and len(numbers) > 1:
        arguments["std"], numbers = numbers, []
    if len(numbers) > len(plain):
        names = f" ({', '.join(plain)})" if plain else ": write KEY=VALUE"
        raise ValueError(
            f"psf {text!r}: {name} takes at most {len(plain)} values without a name"
            + names
        )
    for key, number in zip(plain, numbers):
        if key in arguments:
            raise ValueError(f"psf {text!r}: {key} is given twice")
        arguments[key] = number
    missing = [
        k
        for k in keys
        if parameters[k].default is inspect.Parameter.empty and k not in arguments
    ]
    if missing:
        raise ValueError(f"psf {text!r}: {', '.join(missing)} must be given")
    if name == "zernike":
        arguments["coefficients"] = zernikes
    try:
        return function(**arguments)
    except ValueError as error:
        raise ValueError(f"psf {text!r}: {error}") from error


def _number(text: str, value: str, key: str, *, whole: bool = False) -> float:
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        kind = "an integer" if whole else "a finite number"
        raise ValueError(f"psf {text!r}: {key} is {value!r}: must be {kind}")
    return number


def _shape(text: str, value: str) -> tuple[int, ...]:
    sizes = value.lower().split("x")
    if not all(s.isdigit() and int(s) > 0 for s in sizes):
        raise ValueError(
            f"psf {text!r}: shape is {value!r}: must be sizes such as 33x33"
        )
    return tuple(map(int, sizes))
