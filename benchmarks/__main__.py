"""`python -m benchmarks`: every benchmark that takes minutes, one after the other."""

from benchmarks import conv_transpose, loop, networks

loop.main([])
conv_transpose.main([])
networks.main([])
