"""Reads what runs left behind and shows it. Knows files and plain values only."""
