"""Trained models in files that need none of this code."""
