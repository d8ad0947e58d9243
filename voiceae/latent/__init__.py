"""The latent space as a tool: interpolation, attributes, priors, units and enrolled speakers."""
