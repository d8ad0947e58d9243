"""What tells loud frames from pauses, apart from torch: runtimes with and without it go by one number."""

LOUD_NATS = 5.0
"""Frames more than this below the loudest count as pauses."""
