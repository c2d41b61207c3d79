"""What carries a slice of hosts through one action: real Ansible, or a fleet in memory."""
