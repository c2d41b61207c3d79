"""From evidence to a defect: played on the bench, minimised, bisected, bundled; and fixes verified."""
