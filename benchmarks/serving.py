"""Load on `gated serve`, on loopback: `python -m benchmarks.serving`.

Each stream sends its next step when it has the prediction of the one before. Server and client
share the machine, so that a faster client would see more steps a second. The same server with
onnxruntime behind it takes turns with ours; what is printed are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from benchmarks.machine import described
from gated.live import write
from gated.live.program import Writer

CHANNELS, UNITS, CLASSES = 8, 64, 4
SHARES = (0.5, 0.99, 0.999)
Rows = Iterator[dict[str, Any]]


def write_model(directory: Path) -> None:
    """Write a classifier with an LSTM and random weights."""
    draw = np.random.default_rng(0)
    writer = Writer("numbers", CHANNELS)
    scaled = writer.add(
        "standardise", writer.input, mean=[0.0] * CHANNELS, deviation=[1.0] * CHANNELS
    )
    hidden = writer.add(
        "recurrent", scaled, cell="lstm", weights="recurrent.", layers=1, units=UNITS
    )
    end = writer.add("last", hidden)
    logits = writer.add("linear", end, weight="head.weight", bias="head.bias")
    shapes = {
        "recurrent.weight_ih_l0": (4 * UNITS, CHANNELS),
        "recurrent.weight_hh_l0": (4 * UNITS, UNITS),
        "recurrent.bias_ih_l0": (4 * UNITS,),
        "recurrent.bias_hh_l0": (4 * UNITS,),
        "head.weight": (CLASSES, UNITS),
        "head.bias": (CLASSES,),
    }
    arrays = {name: draw.normal(0, 0.1, of).astype(np.float32) for name, of in shapes.items()}
    write(directory, writer.program("probabilities", writer.add("softmax", logits)), arrays)


async def one_stream(address: str, until: asyncio.Event, begin: asyncio.Event) -> list[float]:
    """Return the seconds of each step from when it was sent to its prediction."""
    rows = [
        json.dumps(row) for row in np.random.default_rng(1).normal(size=(16, CHANNELS)).tolist()
    ]
    seconds: list[float] = []
    async with connect(address, compression=None, open_timeout=60) as socket:
        step = json.loads(await socket.recv())["step"]
        await begin.wait()
        while not until.is_set():
            step += 1
            sent = time.perf_counter()
            await socket.send(f'{{"step": {step}, "x": {rows[step % 16]}}}')
            while not (await socket.recv()).startswith('{"step"'):
                pass
            seconds.append(time.perf_counter() - sent)
    return seconds


def processor_seconds(process: int) -> float:
    """Seconds that the processors have spent on a process so far, as Linux counts them."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(
    port: int, process: int, streams: int, seconds: float, turn: int
) -> dict[str, float]:
    """Return steps a second, the times of steps, and the server's own work for one."""
    until, begin = asyncio.Event(), asyncio.Event()
    address = f"ws://127.0.0.1:{port}/streams/load-{streams}-{turn}-"
    tasks = []
    for place in range(streams):
        tasks.append(asyncio.create_task(one_stream(f"{address}{place}", until, begin)))
        await asyncio.sleep(0.002)  # connections come one after the other
    await asyncio.sleep(1)
    begin.set()
    began, worked = time.perf_counter(), processor_seconds(process)
    await asyncio.sleep(seconds)
    until.set()
    found = np.concatenate(await asyncio.gather(*tasks))
    lasted, worked = time.perf_counter() - began, processor_seconds(process) - worked
    times = np.quantile(found, SHARES) * 1_000
    return {
        "steps_per_second": round(len(found) / lasted),
        "server_us_per_step": round(1e6 * worked / len(found)),
        **{f"p{100 * share:g}_ms": round(of, 2) for share, of in zip(SHARES, times, strict=True)},
    }


@contextmanager
def served(command: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The port and the process of a server that runs until the block ends."""
    command = [sys.executable, "-m", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline() if server.stdout else ""
        try:
            yield int(line.partition("127.0.0.1:")[2].partition("/")[0]), server.pid
        finally:
            server.terminate()


def measured(streams: Sequence[int], seconds: float, wait: float, rounds: int) -> Rows:
    """Serve a model by both, and return what each number of streams found."""
    most = ["--streams", str(max(streams)), "--wait", f"{wait:g}"]
    with tempfile.TemporaryDirectory() as place, ExitStack() as servers:
        run = str(Path(place) / "run")
        write_model(Path(run))
        ours = ["gated", "serve", run, "--port", "0", "--rate", "1e6", "--step-rate", "1e6", *most]
        commands = {"gated": ours, "onnxruntime": ["benchmarks.serving_onnxruntime", run, *most]}
        ports = {by: servers.enter_context(served(of)) for by, of in commands.items()}
        for count in streams:
            found: dict[str, list[dict[str, float]]] = {by: [] for by in ports}
            for turn in range(rounds):
                for by in sorted(ports, reverse=bool(turn % 2)):
                    found[by].append(asyncio.run(load(*ports[by], count, seconds, turn)))
            for by, rows in found.items():
                middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                yield {"streams": count, "by": by, **middle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 100, 1_000, 5_000])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wait", type=float, default=0.0, help="milliseconds")
    options = parser.parse_args()
    about = {**described(None), "units": UNITS, **vars(options)}
    print(json.dumps({**about, "load": os.getloadavg()[0]}), flush=True)
    for row in measured(options.streams, options.seconds, options.wait, options.rounds):
        print(json.dumps({**row, "load": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
