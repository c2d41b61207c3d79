"""``garant serve``."""

from __future__ import annotations

import errno
import ipaddress
import json
import signal
import socket
from contextlib import suppress
from pathlib import Path

import click

from pipeline.cli import json_option, opened
from pipeline.errors import GarantError
from pipeline.web.access import access_token
from pipeline.web.serving import Server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65_535), help="0: any that is free."
)
@json_option
@click.pass_obj
def serve(home: Path, host: str, port: int, json_: bool) -> None:
    """Serve the web pages and the HTTP API, until Ctrl-C.

    The address printed holds the access token: open it once, the browser keeps a cookie from then on. The
    token is in the file web-token of the home folder (or in the environment variable that `web.token_env` of
    garant.yaml names); programs send it as `Authorization: Bearer TOKEN`.

    \b
    Example:
      garant serve
      garant serve --port 8081
    """
    from pipeline.web.application import create_app

    with opened(home) as app, _listening(host, port) as listener:
        token = access_token(app.settings)
        bound = listener.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{bound}/"
        if json_:
            click.echo(json.dumps({"url": address, "open": f"{address}?token={token}"}))
        else:
            click.echo(f"Garant is at {address}?token={token}\nCtrl-C ends it.")
        if not _is_loopback(host):
            click.echo(
                f"garant: {host} can be reached from outside, and what goes over it is not encrypted: put a "
                "proxy with TLS in front",
                err=True,
            )
        # uvicorn raises the signal again that ended it; either one is the way in which this command ends.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            Server(create_app(app, token)).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """The socket, bound before anything is printed.

    Raises:
        GarantError: the port is in use, may not be used, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise GarantError(f"no address {host!r}: {error}. Give one of this machine with --host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise GarantError(
                f"port {port} on {host} is in use: end the program that listens there "
                f"(`ss -ltnp 'sport = :{port}'` names it), or choose another with --port {port + 1}"
            ) from error
        if error.errno == errno.EACCES:
            raise GarantError(
                f"port {port} needs root: choose one above 1023, such as --port 8080"
            ) from error
        raise GarantError(f"cannot listen on {host} port {port}: {error.strerror}. Change --host") from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
