"""Dose and harm: each fault at eight doses, how much it hurts, and from where on it is named."""
