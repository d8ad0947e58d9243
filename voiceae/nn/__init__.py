"""Parts that networks are made of: layers, norms, masks, losses."""
