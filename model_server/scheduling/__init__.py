"""Admission, queues and batching: who waits, and what runs together."""
