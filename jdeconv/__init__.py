"""Deconvolution for JAX, in both senses of the word.

Transposed convolution (`ops`, `nn`, `models`) is the adjoint of convolution; image
deconvolution solves the inverse problem. `train` and `cli` run the networks.
"""

__version__ = "0.1.0"
