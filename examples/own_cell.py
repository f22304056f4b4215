"""A cell of one's own: an LSTM whose memory fades with time, defined, trained and streamed.

    python examples/own_cell.py [steps]

The task: sequences of random numbers, two of them marked; the network gives their sum at the end.
Prints the cell's equations as LaTeX, the loss as it falls, and what a stream of single steps gives.
"""

import sys

import torch
from torch import nn

import gated
from gated.cells import PerUnit, cell, sigmoid, tanh

BATCH, TIME, UNITS = 64, 20, 32


@cell(gates={"i": "input_gate", "g": "candidate", "o": "output_gate"})
def fading(x, h, c, *, fade: PerUnit, floor=0.5):
    """Each unit keeps the same share of its memory at every step, and learns how much that is."""
    kept = floor + (1 - floor) * sigmoid(fade)
    c = kept * c + sigmoid(x.i + h.i) * tanh(x.g + h.g)
    return sigmoid(x.o + h.o) * tanh(c), c


def marked_numbers(random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences (B, T, 2) of a number and a mark, and the sums (B) of the marked numbers."""
    numbers = torch.rand(BATCH, TIME, generator=random)
    first = torch.randint(0, TIME // 2, (BATCH,), generator=random)
    second = torch.randint(TIME // 2, TIME, (BATCH,), generator=random)
    marks = torch.zeros(BATCH, TIME)
    marks[torch.arange(BATCH), first] = marks[torch.arange(BATCH), second] = 1
    return torch.stack((numbers, marks), 2), (numbers * marks).sum(1)


torch.manual_seed(0)
random = torch.Generator().manual_seed(0)
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 600
print(fading.equations)

layer = gated.nn.Recurrent(fading, 2, UNITS, batch_first=True, floor=0.8)
last = nn.Linear(UNITS, 1)
optimizer = torch.optim.Adam([*layer.parameters(), *last.parameters()], 1e-2)
losses = []
for step in range(steps):
    x, target = marked_numbers(random)
    output, (h, c) = layer(x)
    loss = (last(output[:, -1]).squeeze(1) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step % 100 == 0 or step == steps - 1:
        print(f"step {step}: mean squared error {losses[-1]:.4f}")

stream = layer.stream()
for frame in x[0].numpy():
    hidden = stream.step(frame)
with torch.no_grad():
    whole = layer(x[:1])[0][0, -1]
difference = (torch.from_numpy(hidden) - whole).abs().max().item()
print(f"largest difference between stream and sequence: {difference:.1e}")
