"""Admission, queues and batching of the servers' work."""
