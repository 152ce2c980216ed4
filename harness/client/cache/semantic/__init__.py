"""Parts of the semantic cache: embeddings and their index, a guard against near misses, shadow checks of hits."""
