"""The text of a request: its place, its length in tokens, and its division into chunks."""
