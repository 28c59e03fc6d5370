"""Timings of the core, as ratios within one run: `python -m moe.benchmarks.cpu`."""
