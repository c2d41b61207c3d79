"""Minimisation: the fewest elements of a scenario that still show the same failure."""
