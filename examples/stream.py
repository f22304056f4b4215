"""A network on a live signal: one step of a two-layer LSTM as each frame arrives, with NumPy alone.

    python examples/stream.py [weights.npz]

Prints how long a step takes: the median, the slow ones, the slowest. `weights.npz` may come from
PyTorch, `np.savez("weights.npz", *[p.detach().numpy() for p in lstm.parameters()])` of a plain
nn.LSTM; without it the weights are random, since the time does not depend on them.
"""

import sys
from time import perf_counter_ns

import numpy as np

from gated.core import ops
from gated.core.layout import Weights
from gated.core.stream import Stream

INPUTS, UNITS, FRAMES = 64, 128, 20_000


def random_layer(random: np.random.Generator, inputs: int) -> Weights:
    bound = UNITS**-0.5
    shapes = [(4 * UNITS, inputs), (4 * UNITS, UNITS), (4 * UNITS,), (4 * UNITS,)]
    return Weights(*(random.uniform(-bound, bound, s).astype(np.float32) for s in shapes))


random = np.random.default_rng(0)
if len(sys.argv) > 1:
    arrays = list(np.load(sys.argv[1]).values())
    layers = [Weights(*arrays[i : i + 4]) for i in range(0, len(arrays), 4)]
else:
    layers = [random_layer(random, INPUTS), random_layer(random, UNITS)]
frames = random.standard_normal((FRAMES, layers[0].weight_ih.shape[1])).astype(np.float32)

stream = Stream("lstm", layers)
times = np.empty(FRAMES)
for i, frame in enumerate(frames):
    start = perf_counter_ns()
    hidden = stream.step(frame)  # what a live loop does with each frame
    times[i] = perf_counter_ns() - start

whole = frames[:, None]  # the same as one sequence, to see that nothing is lost
for layer in layers:
    whole = ops.forward("lstm", whole, layer).output
print(f"largest difference to the whole sequence: {abs(whole[-1, 0] - hidden).max():.1e}")
median, slow, slower = np.percentile(times, [50, 99, 99.9]) / 1e3
print(
    f"a step takes {median:.1f} µs; of a thousand, 10 take {slow:.1f} µs or more and one "
    f"{slower:.1f} µs; the slowest of {FRAMES} took {times.max() / 1e3:.1f} µs"
)
