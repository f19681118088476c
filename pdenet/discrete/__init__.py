"""The discretisation: grids, boundaries, stencils, steppers, stability, and the Scheme."""
