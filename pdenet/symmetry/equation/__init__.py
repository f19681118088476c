"""What an equation's symmetries are, symbolically."""
