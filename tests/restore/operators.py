"""What is asked of every blur."""

from collections.abc import Hashable, Mapping

import jax
import numpy as np

from jdeconv.ops import adjoint_error
from jdeconv.restore.blur import Operator


def values_and_adjoint_errors(
    blurs: Mapping[Hashable, Operator], x: np.ndarray, rng: np.random.Generator
) -> dict:
    """Of x `[B, *shape]`: (blur(x), error of the adjoint) by name, in one program."""
    others = {
        name: rng.normal(size=(len(x), *blur.output_shape)).astype(x.dtype)
        for name, blur in blurs.items()
    }

    @jax.jit
    def results(blurs, x, others):
        return {
            name: (blur(x), adjoint_error(blur, blur.adjoint, x, others[name]))
            for name, blur in blurs.items()
        }

    return results(blurs, x, others)
