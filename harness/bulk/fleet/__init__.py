"""Bulk processing by several workers: a coordinator leases ranges of the input, an engine starts the workers."""
