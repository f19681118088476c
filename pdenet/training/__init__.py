"""Training: equations from their solutions, and classifiers from pictures."""
