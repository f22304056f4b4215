"""The socket on which a command serves."""

from __future__ import annotations

import socket

from gated.errors import ConfigurationError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that a client that is quicker than the server waits.

    Args:
        host: name or address.
        port: 0 for any that is free.

    Raises:
        ConfigurationError: it cannot be had; the message says why.
    """
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port or 1, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigurationError(
            f"--host: {host} is no address of this machine ({error})."
        ) from error
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place[0], port))
        listener.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(
            f"--port: {port} cannot be used ({error}); give another one, or 0 for any."
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the address of a page or a server, for a person."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
