"""Which groups act on a network's weights, and acting on them."""
