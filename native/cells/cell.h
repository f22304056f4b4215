// What a cell is to the loop over time. A cell gives
//
//   Value                    float or double
//   gates                    rows of weight_ih and weight_hh, in units
//   hidden_gates             how many of them see the hidden state in the step's first product
//   groups                   vectors of units side by side in a panel of weights
//   slots                    sums per unit: what a step's pointwise part starts from
//   input_slot, hidden_slot  the first slot that the product with the input, and with the hidden
//                            state, adds to; where both add to the same one they are one sum
//   input_order, hidden_order  the gates of weight_ih and weight_hh, in the order of the slots
//   input_spans, hidden_spans  the slots that layer normalisation takes together: from each of
//                            these to the next
//   kept                     numbers per unit and step that the backward pass needs
//   has_cell                 whether there is a cell state beside the hidden state; then also
//   output_gate              the place of the gate that shows it in what is kept, and
//   cell_of(gates, before, unit, units, access)  the cell state once more, of what is kept
//   second_gate              the gate whose product with the hidden state waits for the pointwise
//                            part, or -1: forward then gives row.middle, which that product takes,
//                            and finish does the rest of the step
//   forward(sums, row, unit, units, access)   one step of the units that fill a vector
//   backward(row, unit, units, access)        the same step's gradients
//   finish(sums, second, row, unit, units, access), begin_back(row, unit, units, access)
//                            after the second product, and before the gradients' first
//
// and the loop, the products and the threads follow from it.
#pragma once

#include "../activation.h"

namespace gated::GATED_TARGET {

// One sequence at one step: where its states are and go. Null where there is none.
template <class T>
struct StepRow {
    const T* hidden_before;  // (H)
    const T* hidden_read;    // (H) the same as products read it, under a mask if there is one
    T* hidden;               // (H)
    const T* cell_before;    // (H), may be `cell` itself
    T* cell;                 // (H)
    T* gates;                // (kept, H), or null where nobody will ask
    T* middle;               // (H) what the second product takes
    bool normalises_cell;    // the hidden state waits for the statistics of the whole cell state
};

// The same for gradients.
template <class T>
struct GradRow {
    const T* gates;          // (kept, H)
    const T* hidden_before;  // (H)
    const T* hidden_read;    // (H)
    const T* cell_before;    // (H)
    const T* grad_output;    // (H)
    T* grad_hidden;          // (H) comes as the hidden state's; goes as the part of the hidden
                             // state before that does not flow through the product
    T* grad_cell;            // (H) comes as the cell state's; goes as the cell state's before
    T* grad_sums;            // (slots, H)
    const T* grad_gates;     // (kept, H) of what reads the gates, or null
    const T* shown_cell;     // (H) tanh of the normalised cell state, whose gradients grad_cell
                             // holds already, or null where the cell state is not normalised
    T* middle;               // (H) what the second product took, or null
    T* grad_middle;          // (H)
    T* grad_read;            // (H) adds to what flows through hidden_read
};

}  // namespace gated::GATED_TARGET
