"""The batching policy that the mock and the real server share."""

from model_server.scheduling.batching.policy import BatchPolicy, BatchQueue, Waiting

__all__ = ["BatchPolicy", "BatchQueue", "Waiting"]
