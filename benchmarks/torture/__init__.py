"""Runs that are killed, stopped, damaged and lied to, and whether anything is lost by it."""
