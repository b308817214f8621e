"""Has not the object that its entry point names."""
