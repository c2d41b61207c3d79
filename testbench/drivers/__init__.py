"""Drivers: who plays a scenario on a build (DESIGN section 3, "Products and drivers")."""
