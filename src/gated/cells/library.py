"""Cells of the literature, each written as in its paper."""

from __future__ import annotations

from typing import Any

from gated.cells.language import (
    Delayed,
    PerStepFeature,
    PerUnit,
    Scalar,
    exp,
    linear,
    maximum,
    minimum,
    relu,
    sigmoid,
    softplus,
    tanh,
    where,
)
from gated.cells.language import cell_when_asked as cell

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


@cell(gates={"n": "hidden"})
def rnn_modrelu(x: Any, h: Any, *, b: PerUnit) -> Any:
    """Arjovsky, Shah and Bengio 2016: modReLU, which keeps the sign, for orthogonal matrices."""
    s: Any = x.n + h.n
    return where(s > 0, relu(s + b), -relu(b - s))


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
    p: Any = peepholes
    i = sigmoid(x.i + h.i + p.i * c)
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * c + i * tanh(x.g + h.g)
    o = sigmoid(x.o + h.o + p.o * c)
    return o * tanh(c), c


@cell(gates={name: _LSTM[name] for name in "fgo"})
def lstm_coupled(x: Any, h: Any, c: Any) -> Any:
    """The LSTM that writes what it forgets: i = 1 - f (Greff et al. 2017)."""
    f, g, o = sigmoid(x.f + h.f), tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = g + f * (c - g)
    return o * tanh(c), c


@cell
def mgu(x: Any, h: Any) -> Any:
    """Minimal gated unit (Zhou et al. 2016): one gate both resets and updates."""
    f = sigmoid(x.f + h.f)
    return (1 - f) * h + f * tanh(x.n + linear(f * h).n)


@cell
def janet(x: Any, h: Any, *, beta: float = 1.0) -> Any:
    """Just another network (van der Westhuizen and Lasenby 2018): a forget gate alone."""
    s = x.f + h.f
    return sigmoid(s) * h + (1 - sigmoid(s - beta)) * tanh(x.n + h.n)


@cell
def ligru(x: Any, h: Any) -> Any:
    """Light GRU (Ravanelli et al. 2018), without its batch normalisation."""
    z, n = sigmoid(x.z + h.z), relu(x.n + h.n)
    return z * h + (1 - z) * n


@cell
def indrnn(x: Any, h: Any, *, u: PerUnit) -> Any:
    """Independently recurrent (Li et al. 2018): a unit's only recurrent input is its own state."""
    return relu(x.n + u * h)


@cell
def mogrifier(x: Any, h: Any, c: Any) -> Any:
    """Mogrifier LSTM of two rounds (Melis, Kočiský and Blunsom 2020)."""
    x2 = 2 * sigmoid(linear(h, like=x, name="q")) * x
    h2 = 2 * sigmoid(linear(x2, name="r")) * h
    v, s = linear(x2), linear(h2)
    i, f = sigmoid(v.i + s.i), sigmoid(v.f + s.f)
    c = f * c + i * tanh(v.g + s.g)
    return sigmoid(v.o + s.o) * tanh(c), c


@cell
def lem(x: Any, h: Any, c: Any, *, dt: float = 1.0) -> Any:
    """Long expressive memory (Rusch et al. 2022)."""
    b, a = dt * sigmoid(x.b + h.b), dt * sigmoid(x.a + h.a)
    c = (1 - a) * c + a * tanh(x.c + h.c)
    return (1 - b) * h + b * tanh(x.n + linear(c).n), c


@cell
def ugrnn(x: Any, h: Any) -> Any:
    """Update gate RNN (Collins, Sohl-Dickstein and Sussillo 2017)."""
    n, z = tanh(x.n + h.n), sigmoid(x.z + h.z)
    return z * h + (1 - z) * n


@cell
def multiplicative_lstm(x: Any, h: Any, c: Any) -> Any:
    """Krause et al. 2017: the gates see a product of input and state."""
    m = linear(x.m * h.m)
    i, f = sigmoid(x.i + m.i), sigmoid(x.f + m.f)
    c = f * c + i * tanh(x.g + m.g)
    return sigmoid(x.o + m.o) * tanh(c), c


@cell
def slstm(x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
    """The xLSTM's scalar cell (Beck et al. 2024): normaliser n, stabiliser m."""
    i, f = x.i + h.i, -softplus(-(x.f + h.f)) + m
    m = maximum(f, i)
    c = exp(f - m) * c + exp(i - m) * tanh(x.g + h.g)
    n = exp(f - m) * n + exp(i - m)
    return sigmoid(x.o + h.o) * c / n, c, n, m


@cell
def minimal_rnn(x: Any, h: Any) -> Any:
    """Chen 2017: the input is encoded in the space of the hidden state first."""
    n = tanh(x.n)
    u = sigmoid(h.u + linear(n, name="m"))
    return u * h + (1 - u) * n


@cell
def min_gru(x: Any, h: Any) -> Any:
    """Feng et al. 2024: no gate sees the past."""
    z = sigmoid(x.z)
    return (1 - z) * h + z * x.n


@cell
def min_lstm(x: Any, h: Any) -> Any:
    """Feng et al. 2024, with gates that share one."""
    f, i = sigmoid(x.f), sigmoid(x.i)
    return (f * h + i * x.n) / (f + i)


@cell
def atr(x: Any, h: Any) -> Any:
    """Addition-subtraction twin gates (Zhang et al. 2018)."""
    p, q = x.n, h.n
    return sigmoid(p + q) * p + sigmoid(p - q) * h


@cell
def brc(x: Any, h: Any, *, w: PerUnit) -> Any:
    """Bistable cell (Vecoven, Ernst and Drion 2021)."""
    p: Any = w
    a, c = 1 + tanh(x.a + p.a * h), sigmoid(x.c + p.c * h)
    return c * h + (1 - c) * tanh(x.n + a * h)


@cell
def nbrc(x: Any, h: Any) -> Any:
    """Recurrently neuromodulated bistable cell (Vecoven, Ernst and Drion 2021)."""
    a, c = 1 + tanh(x.a + h.a), sigmoid(x.c + h.c)
    return c * h + (1 - c) * tanh(x.n + a * h)


@cell
def cfn(x: Any, h: Any) -> Any:
    """Chaos-free network (Laurent and von Brecht 2017)."""
    t, i = sigmoid(x.t + h.t), sigmoid(x.i + h.i)
    return t * tanh(h) + i * tanh(x.n)


@cell
def cornn(
    x: Any, h: Any, c: Any, *, dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7
) -> Any:
    """Coupled oscillators (Rusch and Mishra 2021); c is their velocity.

    The default constants are the authors' for sequential MNIST; for permuted MNIST they used 0.076,
    0.4 and 8, for the adding problem 0.06, 66 and 15, for HAR-2 0.1, 0.2 and 6.4.
    """
    c = c + dt * (tanh(x.n + h.n + c.n) - gamma * h - epsilon * c)
    return h + dt * c, c


@cell
def fast_rnn(x: Any, h: Any, *, alpha: Scalar, beta: Scalar) -> Any:
    """FastRNN (Kusupati et al. 2018): a weighted residual connection."""
    return sigmoid(alpha) * tanh(x.n + h.n) + sigmoid(beta) * h


@cell
def fast_grnn(x: Any, h: Any, *, b: PerUnit, zeta: Scalar, nu: Scalar) -> Any:
    """FastGRNN (Kusupati et al. 2018): gate and candidate share their weights."""
    p: Any = b
    s = x.n + h.n
    z, n = sigmoid(s + p.z), tanh(s + p.n)
    return (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * n + z * h


@cell
def light_ru(x: Any, h: Any) -> Any:
    """Light recurrent unit (Ye et al. 2024): the candidate sees the input alone."""
    n, f = tanh(x.n), sigmoid(x.f + h.f)
    return (1 - f) * h + f * n


@cell
def miru1(x: Any, h: Any, *, rate: float = 0.5) -> Any:
    """Minion recurrent unit (Zyarah and Kudithipudi 2026): no gate updates, but a constant."""
    r = sigmoid(x.r + h.r)
    return rate * h + (1 - rate) * tanh(x.n + linear(r * h).n)


@cell
def miru2(x: Any, h: Any, *, rate: float = 0.5, reset: float = 0.5) -> Any:
    """The second of Zyarah and Kudithipudi 2026: constants in place of both gates."""
    return rate * h + (1 - rate) * tanh(x.n + linear(reset * h).n)


@cell
def mut1(x: Any, h: Any) -> Any:
    """Jozefowicz, Zaremba and Sutskever 2015, MUT1, with a weight for the candidate's input."""
    z, r = sigmoid(x.z), sigmoid(x.r + h.r)
    return z * tanh(linear(r * h).n + tanh(x.n)) + (1 - z) * h


@cell
def mut2(x: Any, h: Any) -> Any:
    """Jozefowicz, Zaremba and Sutskever 2015, MUT2, with a weight for the reset's input."""
    z, r = sigmoid(x.z + h.z), sigmoid(x.r + h.r)
    return z * tanh(x.n + linear(r * h).n) + (1 - z) * h


@cell
def mut3(x: Any, h: Any) -> Any:
    """Jozefowicz, Zaremba and Sutskever 2015, MUT3."""
    z, r = sigmoid(x.z + linear(tanh(h)).z), sigmoid(x.r + h.r)
    return z * tanh(x.n + linear(r * h).n) + (1 - z) * h


@cell
def nas(x: Any, h: Any, c: Any) -> Any:
    """The cell that a search found (Zoph and Le 2017)."""
    a = tanh(sigmoid(x.a + h.a) * relu(x.b + h.b))
    b = tanh(sigmoid(x.d + h.d) + relu(x.e + h.e))
    d = tanh(tanh(x.f + h.f) * sigmoid(x.g + h.g))
    e = sigmoid(tanh(x.i + h.i) + sigmoid(x.j + h.j))
    c = tanh(a + c) * b
    return tanh(c * tanh(d + e)), c


@cell
def lstm_original(x: Any, h: Any, c: Any) -> Any:
    """Hochreiter and Schmidhuber 1997: nothing is forgotten."""
    i, g, o = sigmoid(x.i + h.i), tanh(x.g + h.g), sigmoid(x.o + h.o)
    c = c + i * g
    return o * tanh(c), c


@cell
def ran(x: Any, h: Any, c: Any) -> Any:
    """Recurrent additive network (Lee, Levy and Zettlemoyer 2017)."""
    n, i, f = x.n, sigmoid(x.i + h.i), sigmoid(x.f + h.f)
    c = i * n + f * c
    return tanh(c), c


@cell
def sgrn(x: Any, h: Any) -> Any:
    """Simple gated network (Zu and Wei 2020): one product for both gates, that sum to 1."""
    f = sigmoid(x.n + h.n)
    return tanh((1 - f) * x.n + f * h)


@cell
def star(x: Any, h: Any) -> Any:
    """Stackable recurrent cell (Turkoglu et al. 2021)."""
    n, k = tanh(x.n), sigmoid(x.k + h.k)
    return tanh((1 - k) * h + k * n)


@cell
def trnn(x: Any, h: Any) -> Any:
    """Strongly typed (Balduzzi and Ghifary 2016): the state is a mean of what was read."""
    n, f = x.n, sigmoid(x.f)
    return f * h + (1 - f) * n


@cell
def unicornn(
    x: Any, h: Any, c: Any, *, w: PerUnit, pace: PerUnit, dt: float = 0.19, alpha: float = 30.65
) -> Any:
    """Undamped oscillators (Rusch and Mishra 2021b), each seeing itself alone.

    The default constants are the authors' for permuted MNIST; for noise-padded CIFAR-10 they used
    0.126 and 13, for vital signs 0.011 and 9, for EigenWorms 2.81e-5 and 0.0343 by layer, and 0.
    """
    step = dt * sigmoid(pace)
    c = c - step * (tanh(x.n + w * h) + alpha * h)
    return h + step * c, c


@cell
def wmc_lstm(x: Any, h: Any, c: Any) -> Any:
    """Working memory connections (Landi et al. 2021): gates see the cell state through tanh."""
    i, f = sigmoid(x.i + h.i + tanh(c.i)), sigmoid(x.f + h.f + tanh(c.f))
    c = f * c + i * tanh(x.g + h.g)
    return sigmoid(x.o + h.o + tanh(linear(c, name="m"))) * tanh(c), c


@cell
def sgu(x: Any, h: Any, *, slope: float = 0.2) -> Any:
    """Simple gated unit (Gao and Glowacka 2016); its gate is piecewise linear."""
    g = tanh(linear(x.g * h).g)
    z = minimum(maximum(slope * (x.z + h.z) + 0.5, 0), 1)
    return (1 - z) * h + z * softplus(g * h)


@cell
def dsgu(x: Any, h: Any, *, slope: float = 0.2) -> Any:
    """Deep simple gated unit (Gao and Glowacka 2016)."""
    g = tanh(linear(x.g * h).g)
    z = minimum(maximum(slope * (x.z + h.z) + 0.5, 0), 1)
    return (1 - z) * h + z * sigmoid(linear(g * h, name="o"))


@cell
def residual_lstm(x: Any, h: Any, c: Any, *, peepholes: PerUnit) -> Any:
    """Residual LSTM (Kim, El-Khamy and Lee 2017): the output gate lets a shortcut pass."""
    p: Any = peepholes
    i, f = sigmoid(x.i + h.i + p.i * c), sigmoid(x.f + h.f + p.f * c)
    c = f * c + i * tanh(x.g + h.g)
    o = sigmoid(x.o + h.o + p.o * c)
    return o * (linear(tanh(c), name="p") + x.r), c


@cell
def mc_lstm(x: Any, h: Any, c: Any) -> Any:
    """Memory controller (Shwartz-Ziv and Ben-Ari 2017): output and recurrence have a gate each."""
    f, i, o = sigmoid(x.f + h.f), sigmoid(x.i + h.i), sigmoid(x.o + h.o)
    u = sigmoid(x.u + h.u)
    c = f * c + i * tanh(x.g + h.g)
    return o * tanh(c), u * tanh(c), c


@cell
def antisymmetric_rnn(x: Any, h: Any, *, epsilon: float = 0.01, gamma: float = 0.01) -> Any:
    """Chang et al. 2019; `gated.nn.init.stay_antisymmetric_` makes the recurrent weight W - Wᵀ.

    The paper chose epsilon of 0.01, 0.1 and 1 for each task.
    """
    return h + epsilon * tanh(x.n + h.n - gamma * h)


@cell
def gated_antisymmetric_rnn(x: Any, h: Any, *, epsilon: float = 0.01, gamma: float = 0.01) -> Any:
    """Chang et al. 2019: gate and candidate share their recurrent weight, W - Wᵀ as above."""
    s = h.z - gamma * h
    return h + epsilon * sigmoid(x.z + s) * tanh(x.n + s)


@cell
def intersection_rnn(x: Any, h: Any) -> Any:
    """+RNN (Collins, Sohl-Dickstein and Sussillo 2017), with a weight, x.x, for the input."""
    d, n = relu(x.d + h.d), tanh(x.n + h.n)
    a, b = sigmoid(x.a + h.a), sigmoid(x.b + h.b)
    return a * x.x + (1 - a) * d, b * h + (1 - b) * n


@cell
def scrn(x: Any, h: Any, s: Any, *, alpha: float = 0.95) -> Any:
    """Structurally constrained network (Mikolov et al. 2014): s is its slow context."""
    s = (1 - alpha) * x.b + alpha * s
    h = sigmoid(x.n + h.n + linear(s, name="p"))
    return linear(h, name="u") + linear(s, name="v"), h, s


@cell
def rhn(x: Any, h: Any, *, depth: float = 3) -> Any:
    """Recurrent highway network (Zilly et al. 2017), with carry gates 1 - t."""
    n, t = tanh(x.n + h.n), sigmoid(x.t + h.t)
    s = h + t * (n - h)
    for level in range(2, int(depth) + 1):
        v = linear(s)
        n, t = tanh(getattr(v, f"n{level}")), sigmoid(getattr(v, f"t{level}"))
        s = s + t * (n - s)
    return s


@cell
def tgru(x: Any, h: Any, z1: Any, f1: Any, o1: Any) -> Any:
    """Strongly typed GRU (Balduzzi and Ghifary 2016): z1, f1, o1 are products with the last x."""
    z, f, o = x.z + z1, sigmoid(x.f + f1), tanh(x.o + o1)
    return f * h + z * o, x.z1, x.f1, x.o1


@cell
def tlstm(x: Any, c: Any, z1: Any, f1: Any, o1: Any) -> Any:
    """Strongly typed LSTM (Balduzzi and Ghifary 2016); z1, f1, o1 as of `tgru`."""
    z, f, o = x.z + z1, sigmoid(x.f + f1), tanh(x.o + o1)
    c = f * c + (1 - f) * z
    return c * o, c, x.z1, x.f1, x.o1


@cell
def tau_gru(x: Any, h: Any, d: Delayed, *, delay: float = 1) -> Any:
    """τ-GRU (Erichson, Lim and Mahoney 2025): d is h of `delay` steps ago."""
    u, z = tanh(x.u + h.u), tanh(x.z + d.z)
    g, a = sigmoid(x.g + h.g), sigmoid(x.a + h.a)
    return (1 - g) * h + g * (u + a * z), h


@cell
def gru_d(x: Any, h: Any, *, m: PerStepFeature, delta: PerStepFeature, last: PerStepFeature) -> Any:
    """GRU-D (Che et al. 2018): x is observed where m is 1; `last` is its last value, delta ago.

    The mean of x must be 0; the decay of x has a full matrix, in the paper a diagonal one.
    """
    seen = m * x + (1 - m) * exp(-relu(linear(delta, like=x, name="decay_x"))) * last
    h = exp(-relu(linear(delta, name="decay_h"))) * h
    v = linear(seen)
    z = sigmoid(v.z + linear(h).z + linear(m, name="mask_z"))
    r = sigmoid(v.r + linear(h).r + linear(m, name="mask_r"))
    n = tanh(v.n + linear(r * h).n + linear(m, name="mask_n"))
    return (1 - z) * h + z * n


@cell
def holt_winters(x: Any, level: Any, slope: Any, s: Delayed, *, p: PerUnit, delay: int = 1) -> Any:
    """Exponential smoothing (Holt 1957, Winters 1960); s is the season, of `delay` steps.

    A cell state whose gates do not depend on the input. The first result is the forecast.
    """
    forward = p.damping * slope
    forecast = level + forward + s
    error = x.value - forecast
    level, slope = level + forward + p.level * error, forward + p.slope * error
    return forecast, level, slope, s + p.season * error
