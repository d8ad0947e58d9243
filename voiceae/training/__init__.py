"""Training: the loop, its configuration, checkpoints and reports."""
