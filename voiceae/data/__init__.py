"""Corpora, feature stores and batches."""
