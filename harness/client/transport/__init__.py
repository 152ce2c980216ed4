"""One HTTP exchange, asynchronous or blocking: connections, time-outs, outcomes, and response headers."""
