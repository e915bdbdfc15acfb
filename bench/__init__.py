"""Benchmarks and studies: commands, not tests."""
