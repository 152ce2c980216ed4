"""Locust's side of a scenario: users, shares of the load, options, statistics."""
