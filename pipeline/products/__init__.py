"""Watching the product's repository: a new version makes every open defect's bundle run on it."""
