// The gated recurrent unit (Cho et al. 2014): with the reset gate after the product, as in cuDNN and
// PyTorch, or before it, as in the paper.
#pragma once

#include "cell.h"

namespace gated::GATED_TARGET {

template <class T>
struct GruCell {
    using Value = T;
    static constexpr int gates = 3, hidden_gates = 3, groups = 1, slots = 4, kept = 4;
    // The candidate's product with the input and the one with the hidden state stay apart, at
    // either end: the reset gate acts on the second alone.
    static constexpr int input_slot = 0, hidden_slot = 1;
    static constexpr int input_order[] = {2, 0, 1};   // candidate, reset, update
    static constexpr int hidden_order[] = {0, 1, 2};  // reset, update, candidate
    static constexpr int input_spans[] = {0, 1, 3}, hidden_spans[] = {1, 3, 4};
    static constexpr bool has_cell = false;
    static constexpr int second_gate = -1;

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

    template <class Access>
    GATED_INLINE static void backward(const GradRow<T>& row, Index unit, Index units,
                                      Access access) {
        const T* kept = row.gates + unit;
        const Vector<T> reset_gate = access.load(kept);
        const Vector<T> update_gate = access.load(kept + units);
        const Vector<T> candidate = access.load(kept + 2 * units);
        const Vector<T> from_hidden = access.load(kept + 3 * units);
        const Vector<T> before = access.load(row.hidden_before + unit);
        const Vector<T> grad_hidden =
            access.load(row.grad_hidden + unit) + access.load(row.grad_output + unit);
        const Vector<T> kept_back = T(1) - update_gate;
        Vector<T> of_candidate = grad_hidden * kept_back;
        Vector<T> of_update = grad_hidden * (before - candidate);
        if (row.grad_gates) {
            of_update += access.load(row.grad_gates + units + unit);
            of_candidate += access.load(row.grad_gates + 2 * units + unit);
        }
        const Vector<T> grad_candidate = of_candidate * (T(1) - candidate * candidate);
        Vector<T> of_reset = grad_candidate * from_hidden;
        if (row.grad_gates) of_reset += access.load(row.grad_gates + unit);
        T* sums = row.grad_sums + unit;
        access.store(sums, grad_candidate);
        access.store(sums + units, of_reset * (reset_gate * (T(1) - reset_gate)));
        access.store(sums + 2 * units, of_update * (update_gate * kept_back));
        access.store(sums + 3 * units, grad_candidate * reset_gate);
        access.store(row.grad_hidden + unit, grad_hidden * update_gate);
    }
};

template <class T>
struct GruResetBeforeCell {
    using Value = T;
    static constexpr int gates = 3, hidden_gates = 2, groups = 1, slots = 3, kept = 3;
    static constexpr int input_slot = 0, hidden_slot = 0;
    static constexpr int input_order[] = {0, 1, 2}, hidden_order[] = {0, 1, 2};
    static constexpr int input_spans[] = {0, 3}, hidden_spans[] = {0, 3};  // of no use here
    static constexpr bool has_cell = false;
    static constexpr int second_gate = 2;

    template <class Access>
    GATED_INLINE static void forward(const T* sums, const StepRow<T>& row, Index unit, Index,
                                     Access access) {
        const Vector<T> reset_gate = sigmoid<T>(load(sums));
        access.store(row.middle + unit, reset_gate * access.load(row.hidden_read + unit));
        if (row.gates) access.store(row.gates + unit, reset_gate);
    }

    template <class Access>
    GATED_INLINE static void finish(const T* sums, const T* second, const StepRow<T>& row,
                                    Index unit, Index units, Access access) {
        const Vector<T> update_gate = sigmoid<T>(load(sums + lanes<T>));
        const Vector<T> candidate = tanh<T>(load(sums + 2 * lanes<T>) + load(second));
        const Vector<T> before = access.load(row.hidden_before + unit);
        access.store(row.hidden + unit, update_gate * (before - candidate) + candidate);
        if (row.gates) {
            access.store(row.gates + units + unit, update_gate);
            access.store(row.gates + 2 * units + unit, candidate);
        }
    }

    template <class Access>
    GATED_INLINE static void begin_back(const GradRow<T>& row, Index unit, Index units,
                                        Access access) {
        const Vector<T> reset_gate = access.load(row.gates + unit);
        const Vector<T> update_gate = access.load(row.gates + units + unit);
        const Vector<T> candidate = access.load(row.gates + 2 * units + unit);
        const Vector<T> before = access.load(row.hidden_before + unit);
        const Vector<T> grad_hidden =
            access.load(row.grad_hidden + unit) + access.load(row.grad_output + unit);
        Vector<T> of_candidate = grad_hidden * (T(1) - update_gate);
        Vector<T> of_update = grad_hidden * (before - candidate);
        if (row.grad_gates) {
            of_update += access.load(row.grad_gates + units + unit);
            of_candidate += access.load(row.grad_gates + 2 * units + unit);
        }
        T* sums = row.grad_sums + unit;
        access.store(sums + units, of_update * (update_gate * (T(1) - update_gate)));
        access.store(sums + 2 * units, of_candidate * (T(1) - candidate * candidate));
        access.store(row.middle + unit, reset_gate * access.load(row.hidden_read + unit));
        access.store(row.grad_hidden + unit, grad_hidden * update_gate);
    }

    template <class Access>
    GATED_INLINE static void backward(const GradRow<T>& row, Index unit, Index, Access access) {
        const Vector<T> reset_gate = access.load(row.gates + unit);
        const Vector<T> grad_middle = access.load(row.grad_middle + unit);
        Vector<T> of_reset = grad_middle * access.load(row.hidden_read + unit);
        if (row.grad_gates) of_reset += access.load(row.grad_gates + unit);
        access.store(row.grad_sums + unit, of_reset * (reset_gate * (T(1) - reset_gate)));
        access.store(row.grad_read + unit,
                     access.load(row.grad_read + unit) + grad_middle * reset_gate);
    }
};

}  // namespace gated::GATED_TARGET
