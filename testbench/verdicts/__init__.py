"""Verdicts: several runs of one scenario on one build, and what they say together."""
