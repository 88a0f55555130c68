"""Baselines that count: fitted to the training part, tuned on the validation part."""
