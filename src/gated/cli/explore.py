"""`gated explore`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from gated.cli.listening import address, listen
from gated.cli.output import stdout_console
from gated.errors import ConfigurationError, require

if TYPE_CHECKING:
    from gated.serve.exhibit import Exhibit

HOST = "127.0.0.1"


def explore(
    run: Path | None = None,
    data: Path | None = None,
    *,
    out: Path | None = None,
    port: int = 8765,
    no_browser: bool = False,
) -> None:
    """Watch a network at work, in the browser: gates, memory, gradients, and what a change does.

    The page is served on this machine alone; it needs no network. Ctrl-C ends it.

    Parameters
    ----------
    run
        Directory of a trained forecaster or of a language model of one layer over characters, or of
        several of one kind; by default those over characters that come with gated.
    data
        Table with the series that a forecaster is to forecast; by default the one of its run.
    out
        Write the page into this directory instead of serving it: files that need no server, for a
        website, a frame or a disk.
    port
        Port on 127.0.0.1; 0 for any that is free.
    no_browser
        Print the address, and open no browser.
    """
    needed = ("safetensors",) if out else ("fastapi", "uvicorn", "safetensors")
    for module in needed:
        require(module, extra="explore")
    exhibits = _exhibits(run, data)
    if out is not None:
        from gated.serve.static_page import write_page

        write_page(out, exhibits)
        stdout_console().print(f"The explorer is in {out / 'index.html'}")
        _say_what_is_left_out(exhibits)
        return
    from gated.serve.app import create_server

    _say_what_is_left_out(exhibits)
    server = create_server(exhibits)
    with listen(HOST, port) as listener:
        stdout_console().print(f"The explorer is at {address(listener)} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(address(listener))
        server.run(sockets=[listener])


def _say_what_is_left_out(exhibits: list[Exhibit]) -> None:
    for exhibit in exhibits:
        left = exhibit.offered.get("left_out", {})
        if left.get("windows"):
            series = f" ({left['series']:,} whole series among them)" if left["series"] else ""
            stdout_console().print(
                f"It shows the latest windows; {left['windows']:,} earlier windows are left "
                f"out{series}, so that its files stay small."
            )


def _exhibits(run: Path | None, data: Path | None) -> list[Exhibit]:
    from gated.model_files import load_description
    from gated.serve import character_model, text_exhibit

    if run is None and data is None:
        return text_exhibit.bundled_texts()
    directories = character_model.model_directories(run or character_model.BUNDLED / "shakespeare")
    task = load_description(directories[0]).get("task")
    if task != "forecast":
        if data is not None:
            raise ConfigurationError(
                f"data: only a forecaster takes a table; {run} is of the task {task!r}"
            )
        return [text_exhibit.texts(character_model.load_models(run))]
    for module in ("torch", "polars", "narwhals"):
        require(module, extra="train")
    from gated.cli.run_directory import FILE_NAME, read_run
    from gated.serve.series_exhibit import forecasts

    if data is None:
        if not (directories[0] / FILE_NAME).exists():
            raise ConfigurationError(
                f"{directories[0]} does not say which table it was trained on; give it: "
                "gated explore RUN DATA"
            )
        (data,) = read_run(directories[0]).data
    return [forecasts(directories, data)]
