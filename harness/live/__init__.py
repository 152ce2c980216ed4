"""A page and metrics that show a run while it runs, read from its files. They never talk to the senders."""
