"""Evaluation of conversions: scorers, pairs, systems under test and reports."""
