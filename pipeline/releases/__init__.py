"""Releases: reproducible packages, manifests, m-of-n approvals by OpenSSH signatures (DESIGN section 3)."""
