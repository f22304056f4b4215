"""Shared libraries and WebAssembly: the C of a program, built by a compiler that is at hand.

The self-test of the C file is built and run first; nothing is left where it fails.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gated.errors import ProgramError
from gated.live.emit_c import InC, expected, plain, source
from gated.live.model import Model

LIBRARIES = (".so", ".dylib", ".dll")
LONGEST = 600
"""Seconds that a compiler or a self-test may take."""
FLAGS = ("-std=c99", "-O2")


def compiler(*, wasm: bool = False) -> list[str]:
    """Return the command of a C compiler: the system's, or that of the package ziglang.

    Args:
        wasm: whether it must build for WebAssembly, with a C library: Zig alone.

    Raises:
        ProgramError: there is none.
    """
    if not wasm and (found := shutil.which("cc") or shutil.which("clang") or shutil.which("gcc")):
        return [found]
    if found := shutil.which("zig"):
        return [found, "cc"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    if wasm:
        raise ProgramError(
            "There is nothing here that builds for WebAssembly. Install it: pip install ziglang."
        )
    raise ProgramError(
        "There is no C compiler here. Install gcc or clang, or: pip install ziglang."
    )


def shared_library(model: Model, name: str, stored_as: InC = "float32") -> tuple[bytes, str, str]:
    """Return a shared library of a model, its header, and what its self-test found.

    Args:
        model: which can be streamed.
        name: what its functions begin with, see `gated.live.emit_c.source`.
        stored_as: how matrices are stored.

    Raises:
        ProgramError: it cannot be written in C, there is no compiler, or the self-test failed.
    """
    code, command = source(model, name, stored_as=stored_as), compiler()
    with tempfile.TemporaryDirectory(prefix="gated-") as place:
        found = _tested(command, code.code, code.header, name, Path(place))
        options = [*FLAGS, "-shared", "-fPIC", f"{name}.c", "-o", "library"]
        _run([*command, *options, "-lm"], Path(place))
        return (Path(place) / "library").read_bytes(), code.header, found


def web_assembly(model: Model, name: str, stored_as: InC = "float32") -> tuple[bytes, str, str]:
    """Return a module of WebAssembly, JavaScript that runs it, and what its test found.

    The test runs both in node where it is there; else it is that of the C file, run here.

    Args:
        model: which can be streamed.
        name: what its functions begin with.
        stored_as: how matrices are stored.

    Raises:
        ProgramError: it cannot be written in C, there is no compiler, or the test failed.
    """
    code, command = source(model, name, stored_as=stored_as), compiler(wasm=True)
    codes = model.program.input.kind == "codes"
    script = _SCRIPT.format(
        name=name,
        task=plain(model.task) or "a task of its own",
        inputs=1 if codes else model.program.input.form.features,
        given="x" if codes else "this.#x",
        set="" if codes else "\n    this.#network.numbers(this.#x, INPUTS).set(x);",
        outputs=model.program.output.form.features,
        labels=json.dumps(model.labels),
        what=f"a code from 0 to {model.program.input.form.features - 1}"
        if codes
        else f"{model.program.input.form.features} numbers",
    )
    with tempfile.TemporaryDirectory(prefix="gated-") as directory:
        place = Path(directory)
        (place / f"{name}.c").write_text(code.code, "utf-8")
        (place / f"{name}.h").write_text(code.header, "utf-8")
        exported = [f"{name}_begin", f"{name}_push", f"{name}_state_size", "__heap_base"]
        options = [*FLAGS, "-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--strip-all"]
        options += [f"-Wl,--export={of}" for of in exported]
        _run([*command, *options, f"{name}.c", "-o", f"{name}.wasm"], place)
        if node := shutil.which("node"):
            found = _tested_in_node(node, model, name, script, place)
        else:
            found = _tested(command, code.code, code.header, name, place)
            found += "; that of the C file, run here, since there is no node"
        return (place / f"{name}.wasm").read_bytes(), script, found


def _tested(command: Sequence[str], code: str, header: str, name: str, place: Path) -> str:
    """Write the C file, build its self-test and run it; return what it printed."""
    (place / f"{name}.c").write_text(code, "utf-8")
    (place / f"{name}.h").write_text(header, "utf-8")
    program = str(place / "self_test.exe")
    _run([*command, *FLAGS, "-DGATED_SELF_TEST", f"{name}.c", "-o", program, "-lm"], place)
    return _run([program], place)


def _tested_in_node(node: str, model: Model, name: str, script: str, place: Path) -> str:
    """Run module and script in node over the steps of the self-test; return what was found."""
    steps, predictions, close = expected(model)
    given = {"x": steps.tolist(), "predictions": [of.tolist() for of in predictions]}
    (place / f"{name}.mjs").write_text(script, "utf-8")
    (place / "given.json").write_text(json.dumps(given), "utf-8")
    (place / "test.mjs").write_text(_TEST.format(name=name, close=close), "utf-8")
    return _run([node, "test.mjs"], place)


def _run(command: Sequence[str], place: Path) -> str:
    """Run a command and return what it printed.

    Raises:
        ProgramError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramError(f"{Path(command[0]).name} cannot be run: {error}.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise ProgramError(
            f"{Path(command[0]).name} failed with status {done.returncode}, so nothing was "
            f"written: {' '.join(said[:3])[:500]}"
        )
    return done.stdout.strip()


_SCRIPT = """\
// A trained network for {task}, in WebAssembly: in browsers and in node.
//
//   import {{ load }} from "./{name}.mjs";
//   const network = await load();
//   const stream = network.stream();
//   const prediction = stream.push(x);  // a Float32Array, or null: see there
//   stream.reset();
//   stream.close();

const INPUTS = {inputs}, OUTPUTS = {outputs};

/** What the numbers of a prediction are, in order; none where they have no names. */
export const labels = {labels};

/** Load the network: by default the .wasm beside this file; or from a URL, or from its bytes. */
export async function load(from = new URL("./{name}.wasm", import.meta.url)) {{
  const bytes = from instanceof URL ? await read(from) : from;
  return new Network((await WebAssembly.instantiate(bytes, {{}})).instance.exports);
}}

async function read(url) {{
  if (url.protocol === "file:") return (await import("node:fs/promises")).readFile(url);
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${{url}}: ${{answer.status}} ${{answer.statusText}}`);
  return answer.arrayBuffer();
}}

class Network {{
  #end;
  #free = [];

  constructor(exports) {{
    this.exports = exports;
    this.#end = exports.__heap_base.value;
    exports._initialize?.();
  }}

  /** Begin a stream; any number of streams share the weights. */
  stream() {{
    return new Stream(this);
  }}

  numbers(at, count) {{
    return new Float32Array(this.exports.memory.buffer, at, count);
  }}

  take() {{
    if (this.#free.length) return this.#free.pop();
    const at = (this.#end + 15) & ~15, memory = this.exports.memory;
    this.#end = at + this.exports.{name}_state_size() + 16 + 4 * (INPUTS + OUTPUTS);
    const lacking = this.#end - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / 65536));
    return at;
  }}

  give(at) {{
    this.#free.push(at);
  }}
}}

class Stream {{
  #network;
  #state;
  #x;
  #prediction;

  constructor(network) {{
    this.#network = network;
    this.#state = network.take();
    this.#x = (this.#state + network.exports.{name}_state_size() + 15) & ~15;
    this.#prediction = this.#x + 4 * INPUTS;
    this.reset();
  }}

  /** Read a step, {what}: the prediction after it; null while a patch is not complete. */
  push(x) {{
    if (this.#state === null) throw new Error("this stream is closed");{set}
    const given = this.#network.exports.{name}_push(this.#state, {given}, this.#prediction);
    return given ? this.#network.numbers(this.#prediction, OUTPUTS).slice() : null;
  }}

  /** Go back to before the first step. */
  reset() {{
    this.#network.exports.{name}_begin(this.#state);
  }}

  /** Give the memory back, for other streams. */
  close() {{
    if (this.#state !== null) this.#network.give(this.#state);
    this.#state = null;
  }}
}}
"""

_TEST = """\
import {{ readFile }} from "node:fs/promises";
import {{ load }} from "./{name}.mjs";
const {{ x, predictions }} = JSON.parse(await readFile("given.json"));
const network = await load();
const other = network.stream(), stream = network.stream();
let found = 0, most = 0;
for (const step of x) {{
  other.push(x[0]);
  const prediction = stream.push(step);
  if (prediction === null) continue;
  const expected = predictions[found++] ?? [];
  prediction.forEach((of, k) => {{
    const off = Math.abs(of - expected[k]);
    if (!(off <= most)) most = off;
  }});
}}
console.log(`${{found}} predictions, off by at most ${{most}}`);
process.exit(found === predictions.length && most <= {close} ? 0 : 1);
"""
