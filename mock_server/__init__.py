"""A simulated model server: real HTTP, the real batching policy, and service times you choose. No torch."""
