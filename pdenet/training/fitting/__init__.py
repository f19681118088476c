"""Fitting: the parameters, fields and states of an equation from observations of its solutions."""
