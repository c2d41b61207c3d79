"""The engine only wakes us (DESIGN section 3): ticks, wake-ups, units of work. DBOS is imported only here."""
