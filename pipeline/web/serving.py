"""uvicorn, told to end the live pages first."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI


class Server(uvicorn.Server):
    """Ends at once on Ctrl-C or SIGTERM although browsers hold streams open.

    uvicorn waits for open answers, and a live page's answer has no end of its own: the streams look at
    ``stopping`` each second.
    """

    def __init__(self, app: FastAPI) -> None:
        # No access log: it would hold the token of the first address.
        super().__init__(
            uvicorn.Config(app, access_log=False, log_level="warning", server_header=False, lifespan="off")
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the server."""
        self._app.state.stopping = True
        await super().shutdown(sockets)
