"""Part of paceline: what client and servers both need, and nothing of ours is below it."""
