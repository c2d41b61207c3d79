"""Webhooks as Jira sends them: signed, with an identifier of their own, at times more than once."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any


def signed(secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature for a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass
class Webhook:
    """One registered webhook.

    Attributes:
        repeat: how often each event is sent; Jira promises at least once.
        answers: the status of each answer, in order; 0: there was none.
    """

    url: str
    secret: str
    repeat: int = 1
    answers: list[int] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def send(self, event: str, issue: dict[str, Any]) -> None:
        """Tell of an event; an answer other than 2xx is kept, and that is all."""
        body = json.dumps({"timestamp": 0, "webhookEvent": event, "issue": issue}).encode()
        identifier = f"delivery-{next(self._numbers)}"
        for _ in range(self.repeat):
            headers = {
                "Content-Type": "application/json",
                "X-Hub-Signature": signed(self.secret, body),
                "X-Atlassian-Webhook-Identifier": identifier,
            }
            request = urllib.request.Request(self.url, body, headers, method="POST")  # noqa: S310 - ours
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                    self.answers.append(answer.status)
            except urllib.error.HTTPError as refused:
                with refused:
                    self.answers.append(refused.code)
            except OSError:
                self.answers.append(0)
