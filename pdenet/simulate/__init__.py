"""The simulator: a Scheme stepped through time, and its results."""
