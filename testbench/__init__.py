"""The test bench: plays a defect again, minimises it, finds its culprit."""
