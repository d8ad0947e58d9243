"""How good it is: scorers, pairs, systems under test and reports."""
