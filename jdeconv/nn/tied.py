"""A transposed convolution that uses an earlier layer's parameters directly."""

import jax
from flax import nnx
from jax import Array

from jdeconv import ops
from jdeconv.nn.initializers import Initializer
from jdeconv.nn.layers import Conv, cast
from jdeconv.ops.geometry import IntOrInts


class TiedConvTranspose(nnx.Module):
    """The adjoint of a given `Conv`, by the very kernel of that layer.

    It has no kernel of its own: the two layers share one parameter, whose gradient is
    the sum of both uses. Nor has it a geometry of its own.

    Args:
      conv: the layer to transpose.
      use_bias: whether to add a bias per output channel (`conv.in_features` of them).
      algorithm: as in `ops.conv_transpose`.
      bias_init: initialiser of the bias.
      rngs: NNX random streams, needed by a random bias_init only.

    Attributes:
      conv: the layer whose kernel is used.
      bias: `[conv.in_features]` or None.

    Raises:
      TypeError: when conv is not a `jdeconv.nn.Conv`.

    >>> import jax.numpy as jnp
    >>> conv = Conv(1, 8, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> TiedConvTranspose(conv)(conv(jnp.ones((1, 27, 27, 1))), output_size=27).shape
    (1, 27, 27, 1)
    """

    def __init__(
        self,
        conv: Conv,
        *,
        use_bias: bool = True,
        algorithm: str = "auto",
        bias_init: Initializer = jax.nn.initializers.zeros,
        rngs: nnx.Rngs | None = None,
    ):
        if not isinstance(conv, Conv):
            raise TypeError(
                f"conv={type(conv).__name__}: must be a jdeconv.nn.Conv, the layer "
                "whose kernel is used"
            )
        self.conv = conv
        self.bias = nnx.data(None)
        if use_bias:
            key = rngs.params() if rngs is not None else jax.random.key(0)
            self.bias = nnx.Param(bias_init(key, (conv.in_features,), conv.param_dtype))
        self.algorithm = algorithm

    def __call__(self, y: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, conv.out_features]` to `[..., conv.in_features]`.

        Args:
          y: the input.
          output_size: spatial size wanted, as in `ops.conv_transpose`.
        """
        bias = None if self.bias is None else self.bias[...]
        y, kernel, bias = cast(self.conv.dtype, y, self.conv.kernel[...], bias)
        x = ops.conv_transpose(
            y,
            kernel,
            output_size=output_size,
            algorithm=self.algorithm,
            **self.conv.geometry,
        )
        return x if bias is None else x + bias
