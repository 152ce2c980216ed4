"""Answers kept for later: in memory, on disk, for equal requests or for requests that mean the same."""
