"""Shared parts of charts: colours, sheets in inches, bars, panels, label placement and files."""
