"""What clients and our own people are told: outbox, texts, mail (DESIGN sections 1.9, 3 and 8)."""
