"""Confirmed faults of the product, from their record to the last store that runs the fix."""
