"""The HTTP interface of both servers: protocol, routes, bodies, replies, metrics."""
