"""Bundles: a reproduced defect as a folder that pytest runs."""
