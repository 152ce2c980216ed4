"""Answers to questions that mean the same: an index of embeddings, a guard against near misses, and a shadow."""
