"""One run on disk: built, trained, recorded, opened again."""
