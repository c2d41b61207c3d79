"""The pages and the HTTP API: they read what the subjects tell and decide nothing."""
