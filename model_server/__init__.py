"""The HTTP face of both servers, the batching policy they share, and (lazily) the engines behind the real one."""
