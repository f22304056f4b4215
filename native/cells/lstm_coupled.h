// The LSTM that writes what it forgets: its input gate is 1 - the forget gate (Greff et al. 2017).
#pragma once

#include "cell.h"

namespace gated::GATED_TARGET {

template <class T>
struct CoupledLstmCell {
    using Value = T;
    static constexpr int gates = 3, hidden_gates = 3, groups = 1, slots = 3, kept = 3;
    static constexpr int input_slot = 0, hidden_slot = 0;
    static constexpr int input_order[] = {0, 1, 2}, hidden_order[] = {0, 1, 2};
    static constexpr int input_spans[] = {0, 3}, hidden_spans[] = {0, 3};
    static constexpr bool has_cell = true;
    static constexpr int second_gate = -1, output_gate = 2;

    template <class Access>
    GATED_INLINE static void forward(const T* sums, const StepRow<T>& row, Index unit, Index units,
                                     Access access) {
        const Vector<T> forget_gate = sigmoid<T>(load(sums));
        const Vector<T> candidate = tanh<T>(load(sums + lanes<T>));
        const Vector<T> output_gate = sigmoid<T>(load(sums + 2 * lanes<T>));
        const Vector<T> before = access.load(row.cell_before + unit);
        const Vector<T> cell = forget_gate * (before - candidate) + candidate;
        access.store(row.cell + unit, cell);
        if (!row.normalises_cell) access.store(row.hidden + unit, output_gate * tanh<T>(cell));
        if (row.gates) {
            T* kept = row.gates + unit;
            access.store(kept, forget_gate);
            access.store(kept + units, candidate);
            access.store(kept + 2 * units, output_gate);
        }
    }

    template <class Access>
    GATED_INLINE static Vector<T> cell_of(const T* gates, const T* before, Index unit, Index units,
                                          Access access) {
        const Vector<T> candidate = access.load(gates + units + unit);
        return access.load(gates + unit) * (access.load(before + unit) - candidate) + candidate;
    }

    template <class Access>
    GATED_INLINE static void backward(const GradRow<T>& row, Index unit, Index units,
                                      Access access) {
        const T* kept = row.gates + unit;
        const Vector<T> forget_gate = access.load(kept);
        const Vector<T> candidate = access.load(kept + units);
        const Vector<T> output_gate = access.load(kept + 2 * units);
        const Vector<T> before = access.load(row.cell_before + unit);
        const Vector<T> tanh_cell =
            row.shown_cell ? access.load(row.shown_cell + unit)
                           : tanh<T>(cell_of(row.gates, row.cell_before, unit, units, access));
        const Vector<T> grad_hidden =
            access.load(row.grad_hidden + unit) + access.load(row.grad_output + unit);
        Vector<T> grad_cell = access.load(row.grad_cell + unit);
        if (!row.shown_cell)
            grad_cell += grad_hidden * output_gate * (T(1) - tanh_cell * tanh_cell);
        if (row.middle) access.store(row.middle + unit, output_gate * tanh_cell);
        Vector<T> of_forget = grad_cell * (before - candidate);
        Vector<T> of_candidate = grad_cell * (T(1) - forget_gate);
        Vector<T> of_output = grad_hidden * tanh_cell;
        if (row.grad_gates) {
            of_forget += access.load(row.grad_gates + unit);
            of_candidate += access.load(row.grad_gates + units + unit);
            of_output += access.load(row.grad_gates + 2 * units + unit);
        }
        T* sums = row.grad_sums + unit;
        access.store(sums, of_forget * (forget_gate * (T(1) - forget_gate)));
        access.store(sums + units, of_candidate * (T(1) - candidate * candidate));
        access.store(sums + 2 * units, of_output * (output_gate * (T(1) - output_gate)));
        access.store(row.grad_cell + unit, grad_cell * forget_gate);
        access.store(row.grad_hidden + unit, Vector<T>{});
    }
};

}  // namespace gated::GATED_TARGET
