"""The language: equations in SymPy, their canonical form and what follows from it."""
