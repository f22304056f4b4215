// The gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as in cuDNN
// and PyTorch.
#pragma once

#include "cell.h"

namespace gated::GATED_TARGET {

template <class T>
struct GruCell {
    using Value = T;
    static constexpr int gates = 3, groups = 1, slots = 4, kept = 4;
    // The candidate's product with the input and the one with the hidden state stay apart, at
    // either end: the reset gate acts on the second alone.
    static constexpr int input_slot = 0, hidden_slot = 1;
    static constexpr int input_order[] = {2, 0, 1};   // candidate, reset, update
    static constexpr int hidden_order[] = {0, 1, 2};  // reset, update, candidate
    static constexpr bool has_cell = false;

    template <class Access>
    GATED_INLINE static void forward(const T* sums, const StepRow<T>& row, Index unit, Index units,
                                     Access access) {
        const Vector<T> reset_gate = sigmoid<T>(load(sums + lanes<T>));
        const Vector<T> update_gate = sigmoid<T>(load(sums + 2 * lanes<T>));
        const Vector<T> from_hidden = load(sums + 3 * lanes<T>);
        const Vector<T> candidate = tanh<T>(reset_gate * from_hidden + load(sums));
        const Vector<T> before = access.load(row.hidden_before + unit);
        access.store(row.hidden + unit, update_gate * (before - candidate) + candidate);
        if (row.gates) {
            T* kept = row.gates + unit;
            access.store(kept, reset_gate);
            access.store(kept + units, update_gate);
            access.store(kept + 2 * units, candidate);
            access.store(kept + 3 * units, from_hidden);
        }
    }
};

}  // namespace gated::GATED_TARGET
