"""Parts of the cache layers: request equality, encoding of answers, the file, and matching by meaning."""
