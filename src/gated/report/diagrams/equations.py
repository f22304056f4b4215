"""The equations that the diagrams show, in the notation of `gated.report.diagrams.notation`.

They are those of `gated.cells.library`; the hidden state h is also written S, c also C.
"""

from __future__ import annotations

EQUATIONS = {
    # Elman (1990)
    "rnn_hidden": "h_t = tanh(W x_t + U h_{t-1} + b)",
    "rnn_output": "y_t = V h_t",
    # Hochreiter and Schmidhuber (1997); Gers, Schmidhuber and Cummins (2000)
    "two_chains": "(h_t, c_t) ← (h_{t-1}, c_{t-1}, x_t)",
    "delete": "f_1 = σ(W_1 · [h_{t-1}, x_t] + b_1)",
    "add": "f_2 = i_t ⊙ c̃_t",
    "delete_and_add": "c_t = f_1 ⊙ c_{t-1} + f_2",
    "forget_gate": "f_t = σ(W_f · [h_{t-1}, x_t] + b_f)",
    "input_gate": "i_t = σ(W_i · [h_{t-1}, x_t] + b_i)",
    "candidate": "c̃_t = tanh(W_c · [h_{t-1}, x_t] + b_c)",
    "cell": "c_t = f_t ⊙ c_{t-1} + i_t ⊙ c̃_t",
    "output_gate": "o_t = σ(W_o · [h_{t-1}, x_t] + b_o)",
    "hidden": "h_t = o_t ⊙ tanh(c_t)",
    # Cho et al. (2014), reset after the product
    "gru_reset_gate": "r_t = σ(W_r x_t + U_r h_{t-1} + b_r)",
    "gru_update_gate": "z_t = σ(W_z x_t + U_z h_{t-1} + b_z)",
    "gru_candidate": "n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + b′_n))",
    "gru_hidden": "h_t = z_t ⊙ h_{t-1} + (1 − z_t) ⊙ n_t",
}
