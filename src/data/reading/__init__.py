"""Prices from files: sources, parsing, and refusals that name row and field."""
