"""Cells, each in the lines of its paper."""

from __future__ import annotations

from typing import Any

from gated.cells.language import (
    PerUnit,
    Scalar,
    cell,
    exp,
    linear,
    maximum,
    relu,
    sigmoid,
    softplus,
    tanh,
)

_LSTM = {"i": "input_gate", "f": "forget_gate", "g": "candidate", "o": "output_gate"}
_GRU = {"r": "reset_gate", "z": "update_gate", "n": "candidate"}


@cell(gates={"n": "hidden"})
def rnn_tanh(x: Any, h: Any) -> Any:
    """Elman 1990."""
    return tanh(x.n + h.n)


@cell(gates={"n": "hidden"})
def rnn_relu(x: Any, h: Any) -> Any:
    """Elman 1990, with the function of Le, Jaitly and Hinton 2015."""
    return relu(x.n + h.n)


@cell(gates=_GRU)
def gru(x: Any, h: Any) -> Any:
    """Cho et al. 2014, with the reset gate after the product, as in cuDNN and PyTorch."""
    r, z = sigmoid(x.r + h.r), sigmoid(x.z + h.z)
    n = tanh(x.n + r * h.n)
    return n + z * (h - n)


@cell(gates=_GRU)
def gru_reset_before(x: Any, h: Any) -> Any:
    """Cho et al. 2014."""
    r, z = sigmoid(x.r + h.r), sigmoid(x.z + h.z)
    n = tanh(x.n + linear(r * h).n)
    return n + z * (h - n)


@cell(gates=_LSTM)
def lstm(x: Any, h: Any, c: Any) -> Any:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    i, f = sigmoid(x.i + h.i), sigmoid(x.f + h.f)
    g, o = tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = f * c + i * g
    return o * tanh(c), c


@cell(gates=_LSTM)
def lstm_peephole(x: Any, h: Any, c: Any, *, peepholes: PerUnit) -> Any:
    """The LSTM whose gates see its cell state (Gers and Schmidhuber 2000)."""
    i = sigmoid(x.i + h.i + peepholes.i * c)
    f = sigmoid(x.f + h.f + peepholes.f * c)
    c = f * c + i * tanh(x.g + h.g)
    o = sigmoid(x.o + h.o + peepholes.o * c)
    return o * tanh(c), c


@cell(gates={name: _LSTM[name] for name in "fgo"})
def lstm_coupled(x: Any, h: Any, c: Any) -> Any:
    """The LSTM that writes what it forgets: i = 1 - f (Greff et al. 2017)."""
    f, g, o = sigmoid(x.f + h.f), tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = g + f * (c - g)
    return o * tanh(c), c


@cell(gates={name: _LSTM[name] for name in "igo"})
def lstm_without_forgetting(x: Any, h: Any, c: Any) -> Any:
    """Hochreiter and Schmidhuber 1997, as it began: memory is added to, never faded."""
    c = c + sigmoid(x.i + h.i) * tanh(x.g + h.g)
    return sigmoid(x.o + h.o) * tanh(c), c


@cell(gates=_LSTM)
def lstm_multiplicative(x: Any, h: Any, c: Any) -> Any:
    """Krause et al. 2017: the input chooses by which matrix the hidden state is multiplied."""
    m = linear(linear(h, name="mh") * linear(x, like=h, name="mx"))
    i, f = sigmoid(x.i + m.i), sigmoid(x.f + m.f)
    c = f * c + i * tanh(x.g + m.g)
    return sigmoid(x.o + m.o) * tanh(c), c


@cell(gates=_LSTM)
def lstm_mogrifier(x: Any, h: Any, c: Any, *, rounds: float = 4) -> Any:
    """Melis, Kočiský and Blunsom 2020: input and hidden state gate each other, then an LSTM."""
    for turn in range(1, int(rounds) + 1):
        if turn % 2:
            x = 2 * sigmoid(linear(h, like=x, name=f"q{turn}")) * x
        else:
            h = 2 * sigmoid(linear(x, like=h, name=f"r{turn}")) * h
    v, s = linear(x), linear(h)
    i, f = sigmoid(v.i + s.i), sigmoid(v.f + s.f)
    c = f * c + i * tanh(v.g + s.g)
    return sigmoid(v.o + s.o) * tanh(c), c


@cell(gates=_LSTM)
def slstm(x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
    """The scalar LSTM of xLSTM (Beck et al. 2024): exponential gates, kept in range by n and m."""
    i, log_f = x.i + h.i, -softplus(-(x.f + h.f))
    new = maximum(log_f + m, i)
    i, f = exp(i - new), exp(log_f + m - new)
    c, n = f * c + i * tanh(x.g + h.g), f * n + i
    return sigmoid(x.o + h.o) * c / n, c, n, new


@cell
def mgu(x: Any, h: Any) -> Any:
    """The minimal gated unit (Zhou et al. 2016)."""
    f = sigmoid(x.f + h.f)
    return h + f * (tanh(x.n + linear(f * h).n) - h)


@cell
def janet(x: Any, h: Any, *, beta: float = 1.0) -> Any:
    """The LSTM with a forget gate alone (van der Westhuizen and Lasenby 2018)."""
    s = x.f + h.f
    return sigmoid(s) * h + (1 - sigmoid(s - beta)) * tanh(x.g + h.g)


@cell
def light_gru(x: Any, h: Any) -> Any:
    """Li-GRU (Ravanelli et al. 2018), without its normalisation over the batch."""
    z = sigmoid(x.z + h.z)
    return z * h + (1 - z) * relu(x.n + h.n)


@cell
def ugrnn(x: Any, h: Any) -> Any:
    """The update-gate RNN (Collins, Sohl-Dickstein and Sussillo 2017)."""
    z = sigmoid(x.z + h.z)
    return z * h + (1 - z) * tanh(x.n + h.n)


@cell
def independent_rnn(x: Any, h: Any, *, u: PerUnit) -> Any:
    """IndRNN (Li et al. 2018): each unit reads itself alone."""
    return relu(x.n + u * h)


@cell
def lem(x: Any, h: Any, z: Any, *, dt: float = 1.0) -> Any:
    """The long expressive memory (Rusch et al. 2022): two states, each with its own pace."""
    fast, slow = dt * sigmoid(x.a + h.a), dt * sigmoid(x.b + h.b)
    z = (1 - fast) * z + fast * tanh(x.z + h.z)
    return (1 - slow) * h + slow * tanh(x.y + linear(z, name="zy")), z


@cell
def minimal_rnn(x: Any, h: Any) -> Any:
    """MinimalRNN (Chen 2017)."""
    z = tanh(x.z)
    u = sigmoid(h.u + linear(z, name="zu"))
    return u * h + (1 - u) * z


@cell
def min_gru(x: Any, h: Any) -> Any:
    """MinGRU (Feng et al. 2024): its gate does not read the hidden state."""
    z = sigmoid(x.z)
    return (1 - z) * h + z * x.n


@cell
def min_lstm(x: Any, h: Any) -> Any:
    """MinLSTM (Feng et al. 2024): gates that add up to one."""
    f, i = sigmoid(x.f), sigmoid(x.i)
    return (f * h + i * x.g) / (f + i)


@cell
def atr(x: Any, h: Any) -> Any:
    """The addition-subtraction twin-gated unit (Zhang et al. 2018)."""
    p, q = x.n, h.n
    return sigmoid(p + q) * p + sigmoid(p - q) * h


@cell
def ran(x: Any, h: Any, c: Any) -> Any:
    """The recurrent additive network (Lee, Levy and Zettlemoyer 2017)."""
    c = sigmoid(x.i + h.i) * x.g + sigmoid(x.f + h.f) * c
    return tanh(c), c


@cell
def cfn(x: Any, h: Any) -> Any:
    """The chaos-free network (Laurent and von Brecht 2017)."""
    return sigmoid(x.f + h.f) * tanh(h) + sigmoid(x.i + h.i) * tanh(x.g)


@cell
def bistable(x: Any, h: Any, *, w: PerUnit) -> Any:
    """The bistable cell (Vecoven, Ernst and Drion 2021)."""
    a, c = 1 + tanh(x.a + w.a * h), sigmoid(x.c + w.c * h)
    return c * h + (1 - c) * tanh(x.h + a * h)


@cell
def star(x: Any, h: Any) -> Any:
    """The stackable recurrent cell (Turkoglu et al. 2021)."""
    k = sigmoid(x.k + h.k)
    return tanh((1 - k) * h + k * tanh(x.z))


@cell
def typed_rnn(x: Any, h: Any) -> Any:
    """The strongly-typed RNN (Balduzzi and Ghifary 2016)."""
    f = sigmoid(x.f)
    return f * h + (1 - f) * x.z


@cell
def fast_grnn(x: Any, h: Any, *, b: PerUnit, zeta: Scalar, nu: Scalar) -> Any:
    """FastGRNN (Kusupati et al. 2018): gate and candidate share their weights."""
    s = x.n + h.n
    z = sigmoid(s + b.z)
    return (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * tanh(s + b.n) + z * h


@cell
def unicornn(
    x: Any, h: Any, z: Any, *, w: PerUnit, c: PerUnit, dt: float = 0.1, a: float = 1
) -> Any:
    """UnICORNN (Rusch and Mishra 2021): undamped oscillators that read themselves alone."""
    pace = dt * sigmoid(c)
    z = z - pace * (tanh(w * h + x.n) + a * h)
    return h + pace * z, z
