"""Garant: the service that runs the support tariff end to end."""
