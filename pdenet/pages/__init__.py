"""Pages: HTML that is one file, runs nothing, and refers to nothing outside itself."""
