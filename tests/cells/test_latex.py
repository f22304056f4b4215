"""Equations of cells as LaTeX: whole lines as a paper would have them."""

import pytest
from matplotlib.mathtext import MathTextParser

from gated.cells import (
    Cell,
    PerStep,
    PerUnit,
    Scalar,
    cell,
    exp,
    library,
    linear,
    maximum,
    mean,
    norm,
    options,
    sigmoid,
    tanh,
    where,
)

CELLS = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}


@cell
def decaying(x, h, c, *, p: PerUnit, dt: PerStep, tau: Scalar, rate=0.1):
    f = sigmoid(x.f + h.f + p.f * c)
    c = f * c * exp(-dt * tau) + rate * norm(linear(tanh(x.g) * h).g)
    m = linear(c)
    return tanh(m) + m * m, where(c < 0, c - 1, maximum(c, h))


def test_the_six_equations_of_the_lstm():
    assert library.lstm.equations.splitlines() == [
        r"i_t = \sigma(W_{xi} x_t + W_{hi} h_{t-1} + b_i)",
        r"f_t = \sigma(W_{xf} x_t + W_{hf} h_{t-1} + b_f)",
        r"g_t = \tanh(W_{xg} x_t + W_{hg} h_{t-1} + b_g)",
        r"o_t = \sigma(W_{xo} x_t + W_{ho} h_{t-1} + b_o)",
        r"c_t = f_t \odot c_{t-1} + i_t \odot g_t",
        r"h_t = o_t \odot \tanh(c_t)",
    ]


def test_biases_of_the_gru_stay_apart_where_the_reset_gate_takes_one_of_them():
    assert library.gru.equations.splitlines() == [
        r"r_t = \sigma(W_{xr} x_t + W_{hr} h_{t-1} + b_r)",
        r"z_t = \sigma(W_{xz} x_t + W_{hz} h_{t-1} + b_z)",
        r"n_t = \tanh(W_{xn} x_t + b_{xn} + r_t \odot (W_{hn} h_{t-1} + b_{hn}))",
        r"h_t = n_t + z_t \odot (h_{t-1} - n_t)",
    ]


def test_a_state_that_is_handed_on_keeps_its_name():
    assert library.tau_gru.with_constants(delay=2).equations.splitlines() == [
        r"u_t = \tanh(W_{xu} x_t + W_{hu} h_{t-1} + b_u)",
        r"z_t = \tanh(W_{xz} x_t + W_{dz} \mathrm{d2}_{t-1} + b_z)",
        r"g_t = \sigma(W_{xg} x_t + W_{hg} h_{t-1} + b_g)",
        r"a_t = \sigma(W_{xa} x_t + W_{ha} h_{t-1} + b_a)",
        r"h_t = (1 - g_t) \odot h_{t-1} + g_t \odot (u_t + a_t \odot z_t)",
        r"\mathrm{d1}_t = h_{t-1}",
        r"\mathrm{d2}_t = \mathrm{d1}_{t-1}",
    ]


def test_a_cell_of_ones_own():
    assert decaying.equations.splitlines() == [
        r"f_t = \sigma(W_{xf} x_t + W_{hf} h_{t-1} + b_f + p_f \odot c_{t-1})",
        r"g_t = \tanh(W_{xg} x_t + b_{xg})",
        r"u_t = \exp(-\mathrm{dt}_t \, \tau) \, f_t \odot c_{t-1}"
        r" + 0.1 \, \operatorname{norm}(W_{hg} (g_t \odot h_{t-1}) + b_{hg})",
        r"v_t = W_1 u_t + b_1",
        r"h_t = \tanh(v_t) + v_t^2",
        r"c_t = \operatorname{where}(u_t < 0, u_t - 1, \max(u_t, h_{t-1}))",
    ]


def test_outputs_candidates_and_means():
    @cell
    def averaged(x, h):
        h = 0.5 * h - tanh(x.h - h.h) / (1 + abs(h - mean(h)))
        return -h * 2, h

    assert averaged.equations.splitlines() == [
        r"\tilde{h}_t = \tanh(W_{xh} x_t + b_{xh} - (W_{hh} h_{t-1} + b_{hh}))",
        r"h_t = 0.5 \, h_{t-1} - \frac{\tilde{h}_t}"
        r"{1 + \left| h_{t-1} - \operatorname{mean}(h_{t-1}) \right|}",
        r"y_t = -2 \, h_t",
    ]


def test_options_show_in_the_equations():
    normalised = options.layer_norm(library.lstm).equations.splitlines()
    gains = [
        rf"\mathrm{{gain}}_{{\mathrm{{{m}h}},i}} \odot \operatorname{{norm}}_{{i,f,g,o}}({product})"
        rf" + \mathrm{{bias}}_{{\mathrm{{{m}h}},i}}"
        for m, product in (("i", "W_{xi} x_t"), ("h", "W_{hi} h_{t-1}"))
    ]
    assert normalised[0] == rf"i_t = \sigma({gains[0]} + {gains[1]})"
    projected = options.projected(library.lstm).equations.splitlines()
    assert projected[-1] == r"h_t = W_{\mathrm{hr}} (o_t \odot \tanh(c_t))"
    assert options.resets(library.gru).equations.splitlines()[:2] == [
        r"u_t = (1 - \mathrm{resets}_t) \, h_{t-1}",
        r"r_t = \sigma(W_{xr} x_t + W_{hr} u_t + b_r)",
    ]


@pytest.mark.parametrize("of", [*CELLS.values(), decaying], ids=lambda of: of.name)
def test_every_line_is_set_by_a_renderer(of):
    parser = MathTextParser("path")
    for line in of.equations.splitlines():
        width, height = parser.parse(f"${line}$")[:2]
        assert width > 0
        assert height > 0


def test_a_notebook_shows_them_below_each_other():
    assert library.rnn_tanh._repr_latex_() == (
        "$$\\begin{aligned}\nh_t &= \\tanh(W_{xn} x_t + W_{hn} h_{t-1} + b_n)\n\\end{aligned}$$"
    )
