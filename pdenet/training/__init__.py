"""Training: the parameters of a network of a PDE, found from observations of its solutions."""
