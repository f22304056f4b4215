"""Measurements of gated beside others; each module is a command, `python -m benchmarks.NAME`."""
