"""The text of a request: where it stands, how long it is, how it is cut."""
