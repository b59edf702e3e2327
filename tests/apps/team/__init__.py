"""A blueprint package with good and broken modules."""
