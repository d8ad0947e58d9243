"""Speaker verification: how well embeddings tell speakers apart."""
