"""Part of paceline: formats and charts of a result."""
