"""Part of paceline: Locust's side. Each public module is a locustfile and a scenario of `paceline run`."""
