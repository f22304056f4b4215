"""`gated export`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from gated.cli.output import stdout_console
from gated.cli.places import check_new_directory, check_new_file
from gated.errors import ConfigurationError


def export(run: Path, *, to: Literal["c", "program"], out: Path) -> None:
    """Write the trained network of a run for use elsewhere: as C, or without the rest of the run.

    Parameters
    ----------
    run
        Directory of a run whose network reads forwards alone.
    to
        `c`: one C99 file and its header, which need no library, and read a step at a time;
        `program`: a directory with the program and its weights alone, for gated.load.
    out
        A new file, network.c, beside which network.h is written; or a new directory.
    """
    from gated.live import load, write
    from gated.live.emit_c import source
    from gated.live.model import read_arrays

    console = stdout_console()
    if to == "program":
        check_new_directory(out)
        model = load(run)
        write(out, model.program.values, read_arrays(run), model.task)
        console.print(f"The program is in {out}: gated.load({str(out)!r})", markup=False)
        return
    header, name = out.with_suffix(".h"), out.stem
    if out.suffix != ".c" or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError(
            f"--out: {out.name} must be the name of a C file in small letters, such as network.c, "
            "since its functions begin with it."
        )
    check_new_file(out)
    check_new_file(header)
    code = source(load(run), name, header.name)
    out.write_text(code.code, "utf-8")
    header.write_text(code.header, "utf-8")
    console.print(
        f"{out} and {header.name}: {name}_begin and {name}_push. Self-test: "
        f"cc -std=c99 -O2 -DGATED_SELF_TEST {out} -lm -o test && ./test",
        markup=False,
        highlight=False,
    )
