"""The training step, its schedules, checkpoints and reports; the loop is Lightning's."""
