"""What is cheap enough to look at while training: counts, norms, and what persists of them."""
