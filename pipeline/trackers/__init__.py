"""Where development works: one protocol, a local tracker and Jira (DESIGN sections 3 and 8)."""
