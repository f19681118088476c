"""The training loop of classifiers: schedule, optimiser, guard against divergence, checkpoints."""
