"""`gated export`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gated.cli.output import stdout_console
from gated.cli.places import check_new_directory, check_new_file
from gated.errors import ConfigurationError

if TYPE_CHECKING:
    from gated.live import Model

_OF_KERAS = (".keras", ".h5", ".hdf5")


def export(
    run: Path, *, to: Literal["c", "lib", "wasm", "onnx", "program"], out: Path, int8: bool = False
) -> None:
    """Write the trained network of a run for use elsewhere: as C, compiled, as ONNX, or as it is.

    Parameters
    ----------
    run
        Directory of a run; or a model that Keras wrote, .keras or .h5.
    to
        `c`: one C99 file and its header, which need no library, and read a step at a time;
        `lib`: the same as a shared library, built by the C compiler that is here; `wasm`: the same
        for browsers and node, with a JavaScript module;
        `onnx`: a directory for the repository of Triton Inference Server, with an ONNX graph and
        its configuration; `program`: a directory with the program and its weights alone, for
        gated.load.
    out
        A new file: network.c or libnetwork.so, beside which network.h is written, or
        network.wasm, beside which network.mjs is; or a new directory.
    int8
        In C, a library and WebAssembly, store matrices as whole numbers of eight bits with a scale
        for each row: a quarter of the bytes.
    """
    if to in ("c", "lib", "wasm"):
        {"c": _to_c, "lib": _to_library, "wasm": _to_wasm}[to](run, out, int8)
        return
    if int8:
        raise ConfigurationError(f"--int8 is for --to c, lib and wasm, not --to {to}.")
    {"onnx": _to_onnx, "program": _to_program}[to](run, out)


def _read(run: Path) -> tuple[Model, Mapping[str, Any]]:
    """The model, and its weights."""
    if run.suffix.lower() in _OF_KERAS and not run.is_dir():
        from gated.live import from_keras
        from gated.live.keras_programs import program_of

        return from_keras(run), program_of(run)[1]
    from gated.live import load
    from gated.live.model import read_arrays

    return load(run), read_arrays(run)


def _to_program(run: Path, out: Path) -> None:
    from gated.live import write

    check_new_directory(out)
    model, arrays = _read(run)
    write(out, model.program.values, arrays, model.task)
    stdout_console().print(f"The program is in {out}: gated.load({str(out)!r})", markup=False)


def _to_onnx(run: Path, out: Path) -> None:
    from gated.live import triton
    from gated.live.emit_onnx import source

    check_new_directory(out)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", out.name):
        raise ConfigurationError(
            f"--out: {out.name} must be a name of letters, digits, points, dashes and underscores, "
            "since the server knows the model by it."
        )
    found = source(_read(run)[0])
    (out / "1").mkdir(parents=True)
    (out / "1" / "model.onnx").write_bytes(found.data)
    (out / "config.pbtxt").write_text(triton.config(found, out.name), "utf-8")
    states = f"{len(found.states)} states" if found.streams else "whole sequences, by lengths"
    whole = f"; the time is a multiple of {found.multiple}" if found.multiple > 1 else ""
    stdout_console().print(
        f"{out}/1/model.onnx, checked in onnxruntime, and config.pbtxt: {states}{whole}",
        markup=False,
        highlight=False,
    )


def _named(out: Path, suffixes: Sequence[str], beside: str, prefix: str = "") -> tuple[str, Path]:
    """Return the name that functions begin with, and the second file; both files must be new."""
    name = out.stem.removeprefix(prefix)
    if out.suffix not in suffixes or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError(
            f"--out: {out.name} must be a name in small letters that ends in "
            f"{' or '.join(suffixes)}, such as {prefix}network{suffixes[0]}, since its functions "
            "begin with it."
        )
    other = out.with_name(name + beside)
    check_new_file(out)
    check_new_file(other)
    return name, other


def _model_for_c(run: Path, int8: bool) -> Model:
    from gated.live.int8 import rounded_model

    model, arrays = _read(run)
    return rounded_model(model.program.values, arrays, model.task) if int8 else model


def _to_library(run: Path, out: Path, int8: bool) -> None:
    from gated.live.building import LIBRARIES, shared_library

    name, header = _named(out, LIBRARIES, ".h", "lib")
    model = _model_for_c(run, int8)
    data, text, tested = shared_library(model, name, "int8" if int8 else "float32")
    out.write_bytes(data)
    header.write_text(text, "utf-8")
    stdout_console().print(
        f"{out} and {header.name}: {name}_begin, {name}_push, {name}_state_size. Self-test: "
        f"{tested}.",
        markup=False,
        highlight=False,
    )


def _to_wasm(run: Path, out: Path, int8: bool) -> None:
    from gated.live.building import web_assembly

    name, script = _named(out, [".wasm"], ".mjs")
    model = _model_for_c(run, int8)
    data, text, tested = web_assembly(model, name, "int8" if int8 else "float32")
    out.write_bytes(data)
    script.write_text(text, "utf-8")
    stdout_console().print(
        f'{out} and {script.name}: import {{ load }} from "./{script.name}". Self-test: {tested}.',
        markup=False,
        highlight=False,
    )


def _to_c(run: Path, out: Path, int8: bool) -> None:
    from gated.live.emit_c import source

    name, header = _named(out, [".c"], ".h")
    model = _model_for_c(run, int8)
    code = source(model, name, header.name, "int8" if int8 else "float32")
    out.write_text(code.code, "utf-8")
    header.write_text(code.header, "utf-8")
    stdout_console().print(
        f"{out} and {header.name}: {name}_begin and {name}_push. Self-test: "
        f"cc -std=c99 -O2 -DGATED_SELF_TEST {out} -lm -o test && ./test",
        markup=False,
        highlight=False,
    )
