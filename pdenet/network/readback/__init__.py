"""Readback: the equation that a network is, from its tensors and its structure alone."""
