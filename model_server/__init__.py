"""Part of paceline: the HTTP face of both servers, their batching policy, and (lazily) the real one's engines."""
