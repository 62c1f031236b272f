"""`python -m benchmarks`: every benchmark that takes minutes, one after the other."""

from benchmarks import loop

loop.main([])
