"""Part of paceline: report formats and charts."""
