"""The fleet: clients, their stores, and the hosts in them; how hosts are reached."""
