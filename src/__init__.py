"""Price-sequence models that explain their own gradients."""

__version__ = "0.1.0"
