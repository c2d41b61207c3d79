"""Rollouts: approved updates to the stores, within budgets and windows (DESIGN sections 4, 5)."""
