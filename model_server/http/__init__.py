"""The HTTP face of both servers: protocol, routes, bodies, replies, metrics."""
