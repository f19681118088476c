"""ConvNets made from equations: relaxed blocks, stages, classifiers, and the published models."""
