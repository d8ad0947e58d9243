"""Conversion while somebody speaks."""
