// The long short-term memory with a forget gate (Gers, Schmidhuber and Cummins 2000).
#pragma once

#include "cell.h"

namespace gated::GATED_TARGET {

template <class T>
struct LstmCell {
    using Value = T;
    static constexpr int gates = 4, groups = 1, slots = 4, kept = 4;
    static constexpr int input_slot = 0, hidden_slot = 0;
    static constexpr int input_order[] = {0, 1, 2, 3}, hidden_order[] = {0, 1, 2, 3};
    static constexpr bool has_cell = true;

    template <class Access>
    GATED_INLINE static void forward(const T* sums, const StepRow<T>& row, Index unit, Index units,
                                     Access access) {
        const Vector<T> input_gate = sigmoid<T>(load(sums));
        const Vector<T> forget_gate = sigmoid<T>(load(sums + lanes<T>));
        const Vector<T> candidate = tanh<T>(load(sums + 2 * lanes<T>));
        const Vector<T> output_gate = sigmoid<T>(load(sums + 3 * lanes<T>));
        const Vector<T> remembered = forget_gate * access.load(row.cell_before + unit);
        const Vector<T> cell = input_gate * candidate + remembered;
        access.store(row.cell + unit, cell);
        access.store(row.hidden + unit, output_gate * tanh<T>(cell));
        if (row.gates) {
            T* kept = row.gates + unit;
            access.store(kept, input_gate);
            access.store(kept + units, forget_gate);
            access.store(kept + 2 * units, candidate);
            access.store(kept + 3 * units, output_gate);
        }
    }
};

}  // namespace gated::GATED_TARGET
