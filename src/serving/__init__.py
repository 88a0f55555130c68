"""Forecasts for prices nobody has seen: windows in, price, baseline and interval out."""
