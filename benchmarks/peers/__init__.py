"""Whole trainings, from the command to the end of the process, beside what people use instead.

packages.py    the peers, each in an environment of its own
clock.py       when the first step and each validation of a process were
windows.py     the same windows for those that take tensors
programs.py    one training by one peer, as its documentation shows it; runs in its environment
__main__.py    runs them in turn and writes the tables
"""
