"""Benchmarks: ``python benchmarks/run.py``; RESULTS.md keeps one run."""
