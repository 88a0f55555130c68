"""Benchmarks whose committed result files back the numbers in the README."""
