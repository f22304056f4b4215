"""`gated explore`."""

from __future__ import annotations

import socket
import webbrowser
from pathlib import Path

from gated.cli.output import stdout_console
from gated.errors import ConfigurationError, require

HOST = "127.0.0.1"


def explore(run: Path | None = None, *, port: int = 8765, no_browser: bool = False) -> None:
    """Watch a network read, in the browser: gates, memory, gradients, and what a change does.

    The page is served on this machine alone; it needs no network. Ctrl-C ends it.

    Parameters
    ----------
    run
        Directory of a network over characters; by default the three that come with gated.
    port
        Port on 127.0.0.1; 0 for any that is free.
    no_browser
        Print the address only, open no browser.
    """
    for module in ("fastapi", "uvicorn", "safetensors"):
        require(module, extra="explore")
    from gated.serve.app import create_server
    from gated.serve.character_model import load_models

    server = create_server(load_models(run))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # now, so that a browser that is quicker than the server waits
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"--port: {port} cannot be used ({error}); give another one, or 0 for any."
            ) from error
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        stdout_console().print(f"The explorer is at {address} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(address)
        server.run(sockets=[listener])
