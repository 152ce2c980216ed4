"""Recorded traces: arrivals with the lengths of prompts and answers, shared prefixes and sessions."""
