"""Sweeps that keep a record: which jobs, how each ended, what is left to do."""
