"""The second compiler: a Scheme as a PyTorch network."""
