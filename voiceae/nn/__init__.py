"""Parts that networks are made of: masks, norms, blocks, Gaussians, statistics."""
