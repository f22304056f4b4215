// The plain recurrent network (Elman 1990), with tanh or ReLU.
#pragma once

#include "cell.h"

namespace gated::GATED_TARGET {

enum class Activation { tanh, relu };

template <class T, Activation activation>
struct RnnCell {
    using Value = T;
    static constexpr int gates = 1, hidden_gates = 1, groups = 4, slots = 1, kept = 1;
    static constexpr int input_slot = 0, hidden_slot = 0;
    static constexpr int input_order[] = {0}, hidden_order[] = {0};
    static constexpr int input_spans[] = {0, 1}, hidden_spans[] = {0, 1};
    static constexpr bool has_cell = false;
    static constexpr int second_gate = -1;

    template <class Access>
    GATED_INLINE static void forward(const T* sums, const StepRow<T>& row, Index unit, Index,
                                     Access access) {
        Vector<T> hidden;
        if constexpr (activation == Activation::tanh)
            hidden = tanh<T>(load(sums));
        else
            hidden = relu<T>(load(sums));
        access.store(row.hidden + unit, hidden);
        if (row.gates) access.store(row.gates + unit, hidden);
    }

    template <class Access>
    GATED_INLINE static void backward(const GradRow<T>& row, Index unit, Index, Access access) {
        const Vector<T> hidden = access.load(row.gates + unit), zero{};
        Vector<T> grad = access.load(row.grad_hidden + unit) + access.load(row.grad_output + unit);
        if constexpr (activation == Activation::tanh)
            grad *= T(1) - hidden * hidden;
        else
            grad = hidden <= zero ? zero : grad;
        access.store(row.grad_sums + unit, grad);
        access.store(row.grad_hidden + unit, zero);
    }
};

}  // namespace gated::GATED_TARGET
