"""Speed and accuracy, measured: `python -m benchmarks.NAME`, or all by `make bench`."""
