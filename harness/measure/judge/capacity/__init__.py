"""Capacity: the highest load that holds an SLO, as an interval. Pure."""
