"""Products: where their versions are, how one is built, and the cache of builds."""
