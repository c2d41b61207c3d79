"""The whole story on this machine, on real parts; every step is verified by looking at the world."""
