"""Packages that diagnose trainings, beside ours, on programs none of them was made for.

packages.py    what is installed, each in an environment of its own
adapters.py    how each is asked, as its documentation says; runs in its environment
probe.py       builds the programs and asks one package; runs in its environment
naming.py      which causes a reader of an alarm could conclude, read generously
__main__.py    runs everything, scores and writes the tables
"""
