"""Bench slots: how many runs go on at once on this machine, shared by all processes that use the bench."""
