"""What can be wrong with a release."""

from pipeline.errors import RefusedError


class NotApprovedError(RefusedError):
    """Fewer valid approvals than the policy demands, or the release is in another state."""


class SignatureRefusedError(RefusedError):
    """A signature cannot be made, or is not one that counts."""


class ContentChangedError(RefusedError):
    """What is on the disk is not what was built or approved."""
