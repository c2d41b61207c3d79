"""What happened, in figures: reports derived from the events."""
