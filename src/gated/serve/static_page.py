"""The explorer as files that need no server: for a site, a frame in a page, or a file system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gated.files import write_atomically
from gated.serve.exhibit import Exhibit
from gated.serve.network_script import EXHIBIT, exhibit_script

PAGE = Path(__file__).parent / "explorer"
"""The built page; its source is in `web/explorer/`."""
BUILD = "build.json"


def scripts_of(exhibits: Sequence[Exhibit]) -> dict[str, bytes]:
    """Return what the page loads besides itself, by path."""
    files = {path: data for exhibit in exhibits for path, data in exhibit.files.items()}
    return {EXHIBIT: exhibit_script(exhibits), **files}


def write_page(directory: Path, exhibits: Sequence[Exhibit]) -> None:
    """Write the page with `exhibits` into a directory, which is created if it is missing."""
    page = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.name != BUILD}
    for name, data in {**page, **scripts_of(exhibits)}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
