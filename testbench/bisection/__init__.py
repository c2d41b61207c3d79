"""Bisection: the release and the commit that brought a defect, or its fix."""
