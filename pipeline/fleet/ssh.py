"""SSH to the fleet's hosts: pinned keys only, strong algorithms only, nothing asked of an agent."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko

from pipeline.errors import UnavailableError
from pipeline.fleet.errors import HostKeyChangedError, HostLoginError, IdentityError
from pipeline.fleet.keys import blob_fingerprint, fingerprint
from pipeline.fleet.service import known_hosts_name
from pipeline.fleet.tables import HostRow

#: Seconds for each of: TCP connect, banner, authentication.
TIMEOUT_S = 10.0
#: Seconds between keep-alive messages: a link that is cut shows within about three of them.
KEEPALIVE_S = 5

#: AES-GCM first: with the processors' AES it is the cheapest (DESIGN section 9).
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_KEX = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")


class _Transport(paramiko.Transport):
    """A transport that offers nothing but what is listed above, Ed25519 host keys, and no compression."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options = self.get_security_options()
        options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
        options.kex = [name for name in _KEX if name in options.kex]
        options.digests = [name for name in _MACS if name in options.digests]
        options.key_types = ["ssh-ed25519"]


@contextmanager
def connect(
    host: HostRow, *, identity: Path, timeout_s: float = TIMEOUT_S, jump: HostRow | None = None
) -> Iterator[paramiko.SSHClient]:
    """A connection to the host, closed at the end of the block.

    Args:
        identity: our private key (Ed25519, OpenSSH format).
        timeout_s: seconds for each of TCP connect, banner and authentication.
        jump: the host that ``host.jump`` names, when it names one.

    Raises:
        HostKeyChangedError: it shows another key than the pinned one; both fingerprints are named.
        HostLoginError: it does not accept our key.
        IdentityError: our key cannot be read.
        UnavailableError: it does not answer, or not as an SSH server that we can talk to.
    """
    if host.jump is not None and (jump is None or jump.id != host.jump):
        raise HostLoginError(f"host {host.id} is reached through {host.jump}: give that host as `jump`")
    key = load_identity(identity)
    with contextlib.ExitStack() as stack:
        channel: Any = None
        if host.jump is not None and jump is not None:
            channel = _through(
                stack.enter_context(connect(jump, identity=identity, timeout_s=timeout_s)), jump, host
            )
        client = paramiko.SSHClient()
        stack.callback(client.close)
        _open(client, host, key, timeout_s, channel)
        yield client


def _open(
    client: paramiko.SSHClient, host: HostRow, key: paramiko.PKey, timeout_s: float, channel: Any
) -> None:
    pinned = paramiko.Ed25519Key(data=base64.b64decode(host.host_key.split()[1]))
    client.get_host_keys().add(known_hosts_name(host.address, host.port), "ssh-ed25519", pinned)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    where = f"host {host.id} ({host.address} port {host.port})"
    try:
        client.connect(
            host.address,
            host.port,
            username=host.user,
            pkey=key,
            sock=channel,
            timeout=timeout_s,
            banner_timeout=timeout_s,
            auth_timeout=timeout_s,
            channel_timeout=timeout_s,
            allow_agent=False,
            look_for_keys=False,
            compress=False,
            transport_factory=_Transport,
        )
    except paramiko.BadHostKeyException as error:
        shown = blob_fingerprint(error.key.asbytes())
        raise HostKeyChangedError(host.id, pinned=fingerprint(host.host_key), shown=shown) from error
    except paramiko.AuthenticationException as error:
        raise HostLoginError(f"{where} does not let {host.user} in with our {_way_in(key)}") from error
    except (paramiko.SSHException, EOFError) as error:
        raise UnavailableError(
            f"{where} answers, but not as an SSH server that we can use: {error or type(error).__name__}. "
            "Look at sshd on the host; it must offer an Ed25519 host key"
        ) from error
    except (OSError, socket.timeout) as error:  # noqa: UP041 - both names for readers of paramiko
        reason = str(error) or type(error).__name__
        raise UnavailableError(
            f"{where} does not answer: {reason}. Check the store's link and power, then try again"
        ) from error
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(KEEPALIVE_S)


def load_identity(path: Path) -> paramiko.PKey:
    """Our private key, with its OpenSSH certificate where one lies beside it (``identity-cert.pub``).

    Raises:
        IdentityError: the file does not exist, or is no Ed25519 key without passphrase, or the certificate is
            none.
    """
    try:
        key = paramiko.Ed25519Key.from_private_key_file(str(path))
    except FileNotFoundError as error:
        raise IdentityError(
            f"SSH identity {path} does not exist: make one with `ssh-keygen -t ed25519`, or set "
            "`ssh_identity` in garant.yaml"
        ) from error
    except (OSError, paramiko.SSHException, ValueError) as error:
        raise IdentityError(
            f"SSH identity {path} cannot be used ({error}): an Ed25519 key without passphrase is expected"
        ) from error
    certificate = path.with_name(f"{path.name}-cert.pub")
    if certificate.exists():
        try:
            key.load_certificate(str(certificate))
        except (OSError, paramiko.SSHException, ValueError, IndexError) as error:
            raise IdentityError(
                f"SSH certificate {certificate} cannot be used ({error}): have it issued again, or remove it"
            ) from error
    return key


def _way_in(key: paramiko.PKey) -> str:
    if key.public_blob is None:
        return "key: put the public key into its authorized_keys"
    return (
        "certificate: look at its principals and its end with `ssh-keygen -L -f CERTIFICATE`, and at the "
        "host's TrustedUserCAKeys"
    )


def _through(client: paramiko.SSHClient, jump: HostRow, host: HostRow) -> paramiko.Channel:
    transport = client.get_transport()
    assert transport is not None
    try:
        return transport.open_channel("direct-tcpip", (host.address, host.port), ("127.0.0.1", 0))
    except (paramiko.SSHException, EOFError) as error:
        raise UnavailableError(
            f"host {host.id} ({host.address} port {host.port}) does not answer through {jump.id}: {error}"
        ) from error
