"""The symmetry of convolution kernels, of any torch model."""
