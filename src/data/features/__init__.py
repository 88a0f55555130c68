"""The 129 features of a bar: market, positions, indicators."""
