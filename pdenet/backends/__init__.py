"""Back ends: what NumPy and torch do with arrays, each in its own way."""
