"""The promise to tell a client when its defect will be fixed, and the date told (TARIFF: 3 days)."""
