"""Intake: clients' requests become cases, which are registered, classified, restored and closed."""
