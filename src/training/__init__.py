"""What happens between a model and a finished run: one step, its metrics, its files."""
