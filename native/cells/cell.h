// What a cell is to the loop over time. A cell gives
//
//   Value                    float or double
//   gates                    rows of weight_ih and weight_hh, in units
//   groups                   vectors of units side by side in a panel of weights
//   slots                    sums per unit: what a step's pointwise part starts from
//   input_slot, hidden_slot  the first slot that the product with the input, and with the hidden
//                            state, adds to; where both add to the same one they are one sum
//   input_order, hidden_order  the gates of weight_ih and weight_hh, in the order of the slots
//   kept                     numbers per unit and step that the backward pass needs
//   has_cell                 whether there is a cell state beside the hidden state
//   forward(sums, row, unit, units, access)   one step of the units that fill a vector
//   backward(row, unit, units, access)        the same step's gradients
//
// and the loop, the products and the threads follow from it.
#pragma once

#include "../activation.h"

namespace gated::GATED_TARGET {

// One sequence at one step: where its states are and go. Null where there is none.
template <class T>
struct StepRow {
    const T* hidden_before;  // (H)
    T* hidden;               // (H)
    const T* cell_before;    // (H), may be `cell` itself
    T* cell;                 // (H)
    T* gates;                // (kept, H), or null where nobody will ask
};

// The same for gradients.
template <class T>
struct GradRow {
    const T* gates;          // (kept, H)
    const T* hidden_before;  // (H)
    const T* cell_before;    // (H)
    const T* cell;           // (H)
    const T* grad_output;    // (H)
    T* grad_hidden;          // (H) comes as the hidden state's; goes as the part of the hidden
                             // state before that does not flow through the product
    T* grad_cell;            // (H) comes as the cell state's; goes as the cell state's before
    T* grad_sums;            // (slots, H)
};

}  // namespace gated::GATED_TARGET
