"""Part of paceline: a simulated model server. HTTP and batching are real, service times are chosen; no torch."""
