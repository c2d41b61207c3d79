"""The tariff's clocks: derived from a case's events by replay, warned of in time."""
