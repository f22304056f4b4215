// The way back through time, for any cell.
//
// A run of steps at a time: first step by step the gradients of the gates' sums, since each step
// needs the one after it; then, at one go and shared out anew, what follows from the run's sums:
// the gradients of the input and of the weights. Weights sum over the rows of a run in the order of
// the rows, whoever does it, so that results do not depend on the number of threads.
#pragma once

#include "cells/cell.h"
#include "matmul.h"
#include "sequence.h"

namespace gated::GATED_TARGET {

template <class Cell, class T>
[[gnu::noinline]] void step_back(const GradRow<T>* rows, Index count, Index first, Index last,
                                 Index units) {
    constexpr Index L = lanes<T>;
    for (Index r = 0; r < count; ++r) {
        Index unit = first;
        for (; unit + L <= last; unit += L) Cell::backward(rows[r], unit, units, Whole{});
        if (unit < last) Cell::backward(rows[r], unit, units, Partial{last - unit});
    }
}

template <class Cell>
class BackwardRun {
    using T = typename Cell::Value;
    static constexpr Index L = lanes<T>;
    static constexpr int V = plain_vectors;
    static constexpr Index W = plain_width<T>;

public:
    BackwardRun(const Backward<T>& call, const Schedule& schedule, Team& team)
        : call_(call), schedule_(schedule), team_(team), units_(call.units),
          depth_(Cell::gates * units_), unit_panels_(plain_panels<T>(units_)),
          input_panels_(plain_panels<T>(call.inputs)),
          // One line more than needed: rows a power of two apart would share a cache set.
          width_((Cell::slots * units_ + L - 1) / L * L + 64 / Index(sizeof(T))),
          rows_at_once_(rows_at_once()) {
        const Index sequences = call.sequences;
        hidden_weights_ = take<T>(unit_panels_ * W * depth_);
        zeros_ = take<T>(units_);
        clear(zeros_, units_);
        grad_sums_ = take<T>(rows_at_once_ * width_);
        grad_hidden_ = take<T>(sequences * unit_panels_ * W);
        if (Cell::has_cell) grad_cell_ = take<T>(sequences * units_);
        grad_rows_ = take<GradRow<T>>(team.size() * sequences);
        rows_ = take<RowOfRun>(rows_at_once_);
        if (call.grad_input.data) {
            input_weights_ = take<T>(input_panels_ * W * depth_);
            grad_inputs_ = take<T>(team.size() * rows_at_once_ * W);
        }
        packed_ = take<T>(team.size() * rows_at_once_ * W);
        of_input_ = product_of(call.grad_weights.input, call.inputs, Cell::input_slot,
                               Cell::input_order);
        of_hidden_ = product_of(call.grad_weights.hidden, units_, Cell::hidden_slot,
                                Cell::hidden_order);
        bias_ = take<T>(Cell::slots * units_);
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<BackwardRun*>(self)->run_part(part); },
                  this);
    }

private:
    // A row of the run in hand: one sequence at one step.
    struct RowOfRun {
        const T* input;          // (I)
        const T* hidden_before;  // (H)
        T* grad_input;           // (I)
    };

    // The gradient of a weight matrix, summed over the runs in panels of columns.
    struct WeightSums {
        T* result;         // (G·H, columns), or null where nobody wants it
        T* sums;           // the same, or with the columns of the last panel filled up
        Index columns, stride, panels;
        int slot;          // of the first gate's sums
        const int* order;  // of the gates
    };

    const Backward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Index units_, depth_, unit_panels_, input_panels_;
    const Index width_;  // of a row of grad_sums_
    const Index rows_at_once_;
    T *hidden_weights_, *input_weights_ = nullptr, *zeros_;
    T* grad_sums_;       // (rows_at_once_, width_)
    T* grad_hidden_;     // (ranks, unit_panels_·W)
    T* grad_cell_ = nullptr;    // (ranks, H)
    T* grad_inputs_ = nullptr;  // (team, rows_at_once_, W)
    T* packed_;          // (team, rows_at_once_, W)
    T* bias_;            // (slots, H)
    GradRow<T>* grad_rows_;
    RowOfRun* rows_;
    WeightSums of_input_, of_hidden_;

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    static void clear(T* data, Index count) { __builtin_memset(data, 0, count * sizeof(T)); }

    // Whole steps, and enough rows for the products with the weights to be worth their sums.
    Index rows_at_once() const {
        Index rows = depth_ * Index(sizeof(T)) < 8192 ? 256 : 512;
        if (rows < call_.sequences) rows = call_.sequences;
        const Index all = schedule_.offsets.back();
        return rows < all ? rows : all;
    }

    Index longest() const { return schedule_.order.empty() ? 0 : schedule_.lengths[0]; }

    WeightSums product_of(T* result, Index columns, int slot, const int* order) {
        WeightSums of{result, result, columns, columns, plain_panels<T>(columns), slot, order};
        if (result && columns % W) {
            of.stride = of.panels * W;
            of.sums = take<T>(depth_ * of.stride);
        }
        return of;
    }

    void run_part(int part) {
        const int parts = team_.size();
        const Share share(schedule_, team_, part, unit_panels_);
        start(share, part, parts);
        team_.barrier();
        for (Index last = longest(); last > 0;) {
            Index first = last, rows = 0;
            while (first > 0 && rows + schedule_.running(first - 1) <= rows_at_once_)
                rows += schedule_.running(--first);
            steps_back(share, grad_rows_ + part * call_.sequences, first, last);
            team_.barrier();
            if (call_.grad_input.data) multiply_inputs(rows, part, parts);
            sum_weights(rows, part, parts);
            team_.barrier();
            last = first;
        }
        finish(share, part, parts);
    }

    // Packs the weights, clears the sums and takes the gradients of the final states.
    void start(const Share& share, int part, int parts) {
        pack(call_.weights.hidden, units_, Cell::hidden_order, hidden_weights_, part, parts);
        if (call_.grad_input.data)
            pack(call_.weights.input, call_.inputs, Cell::input_order, input_weights_, part, parts);
        for (const WeightSums* of : {&of_input_, &of_hidden_})
            if (of->result)
                for (Index row = depth_ * part / parts; row < depth_ * (part + 1) / parts; ++row)
                    clear(of->sums + row * of->stride, of->stride);
        const Index sums = Cell::slots * units_;
        clear(bias_ + sums * part / parts, sums * (part + 1) / parts - sums * part / parts);
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), at = schedule_.order[rank] * units_;
            T* grad_hidden = grad_hidden_ + rank * unit_panels_ * W;
            clear(grad_hidden + first_unit(share), (share.last_panel - share.first_panel) * W);
            take_units(share, call_.grad_final_hidden, at, grad_hidden);
            if constexpr (Cell::has_cell)
                take_units(share, call_.grad_final_cell, at, grad_cell_ + rank * units_);
        }
    }

    // Packs W transposed: rows are the gates' units in the order of the slots.
    void pack(const T* weights, Index columns, const int* order, T* packed, int part, int parts) {
        const Index panels = plain_panels<T>(columns);
        for (Index p = panels * part / parts; p < panels * (part + 1) / parts; ++p)
            for (Index k = 0; k < depth_; ++k) {
                const Index row = order[k / units_] * units_ + k % units_;
                pack_row(weights + row * columns, p * W, columns, packed + (p * depth_ + k) * W);
            }
    }

    Index first_unit(const Share& share) const { return share.first_panel * W; }
    Index last_unit(const Share& share) const {
        return share.last_panel * W < units_ ? share.last_panel * W : units_;
    }

    void take_units(const Share& share, const T* from, Index at, T* to) const {
        for (Index u = first_unit(share); u < last_unit(share); ++u) to[u] = from ? from[at + u] : 0;
    }

    void steps_back(const Share& share, GradRow<T>* grads, Index first, Index last) {
        for (Index step = last - 1; step >= first; --step) {
            const Index before = schedule_.offsets[step] - schedule_.offsets[first];
            const Index running = share.running(step);
            for (Index r = 0; r < running; ++r)
                grads[r] = row_of(share, share.rank(r), step, before + share.rank(r));
            step_back<Cell>(grads, running, first_unit(share), last_unit(share), units_);
            if (share.splits_units) team_.barrier();
            multiply_hidden(share, before, running);
        }
    }

    // Where a sequence's gradients at a step come from and go to; also says what the products of
    // the run need of it.
    GradRow<T> row_of(const Share& share, Index rank, Index step, Index row_of_run) {
        const Index t = time_of(call_, schedule_, rank, step), b = schedule_.order[rank];
        const Index earlier = call_.reverse ? t + 1 : t - 1;
        const Index packed = schedule_.offsets[t] + rank;
        const T* initial = call_.initial_hidden ? call_.initial_hidden + b * units_ : zeros_;
        GradRow<T> row{};
        row.gates = call_.gates + packed * Cell::kept * units_;
        row.hidden_before = step == 0 ? initial : call_.output.at(earlier, b);
        row.grad_output = call_.grad_output.at(t, b);
        row.grad_hidden = grad_hidden_ + rank * unit_panels_ * W;
        row.grad_sums = grad_sums_ + row_of_run * width_;
        if constexpr (Cell::has_cell) {
            const T* start = call_.initial_cell ? call_.initial_cell + b * units_ : zeros_;
            row.cell = call_.cells + packed * units_;
            row.cell_before =
                step == 0 ? start
                          : call_.cells + (schedule_.offsets[earlier] + rank) * units_;
            row.grad_cell = grad_cell_ + rank * units_;
        }
        if (share.leads)
            rows_[row_of_run] = {call_.input.at(t, b), row.hidden_before,
                                 call_.grad_input.data ? call_.grad_input.at(t, b) : nullptr};
        return row;
    }

    // The gradient of the hidden states before, of the first `running` ranks of the share.
    void multiply_hidden(const Share& share, Index first_row, Index running) {
        const EvenRows<T> left{grad_sums_ + (first_row + share.first) * width_ +
                                   Cell::hidden_slot * units_,
                               share.every * width_};
        T* grads = grad_hidden_ + share.first * unit_panels_ * W;
        for (Index p = share.first_panel; p < share.last_panel; ++p)
            multiply<T, V>(running, depth_, left, hidden_weights_ + p * W * depth_, grads + p * W,
                           share.every * unit_panels_ * W);
    }

    void multiply_inputs(Index rows, int part, int parts) {
        const Index first = rows * part / parts, count = rows * (part + 1) / parts - first;
        const EvenRows<T> left{grad_sums_ + first * width_ + Cell::input_slot * units_, width_};
        T* grads = grad_inputs_ + part * rows_at_once_ * W;
        for (Index p = 0; p < input_panels_; ++p) {
            clear(grads, count * W);
            multiply<T, V>(count, depth_, left, input_weights_ + p * W * depth_, grads, W);
            const Index real = call_.inputs - p * W < W ? call_.inputs - p * W : W;
            for (Index r = 0; r < count; ++r)
                __builtin_memcpy(rows_[first + r].grad_input + p * W, grads + r * W,
                                 real * sizeof(T));
        }
    }

    // Each part takes some of the panels and gates of both matrices, and some of the biases.
    void sum_weights(Index rows, int part, int parts) {
        Index panels = 0;
        for (const WeightSums* of : {&of_input_, &of_hidden_}) panels += of->result ? of->panels : 0;
        const Index jobs = panels * Cell::gates;
        Index job = jobs * part / parts, packed_panel = -1;
        for (; job < jobs * (part + 1) / parts; ++job) {
            const Index panel = job / Cell::gates, gate = job % Cell::gates;
            const Index of_input = of_input_.result ? of_input_.panels : 0;
            const WeightSums& of = panel < of_input ? of_input_ : of_hidden_;
            const Index p = panel < of_input ? panel : panel - of_input;
            T* packed = packed_ + part * rows_at_once_ * W;
            if (panel != packed_panel)
                for (Index r = 0; r < rows; ++r)
                    pack_row(panel < of_input ? rows_[r].input : rows_[r].hidden_before, p * W,
                             of.columns, packed + r * W);
            packed_panel = panel;
            const DownColumns<T> left{grad_sums_ + (of.slot + gate) * units_, width_};
            multiply<T, V>(units_, rows, left, packed,
                           of.sums + of.order[gate] * units_ * of.stride + p * W, of.stride);
        }
        const Index sums = Cell::slots * units_;
        for (Index r = 0; r < rows; ++r)
            for (Index u = sums * part / parts; u < sums * (part + 1) / parts; ++u)
                bias_[u] += grad_sums_[r * width_ + u];
    }

    void finish(const Share& share, int part, int parts) {
        for (const WeightSums* of : {&of_input_, &of_hidden_}) {
            if (!of->result || of->result == of->sums) continue;
            for (Index row = depth_ * part / parts; row < depth_ * (part + 1) / parts; ++row)
                __builtin_memcpy(of->result + row * of->columns, of->sums + row * of->stride,
                                 of->columns * sizeof(T));
        }
        if (part == 0) {
            give_bias(call_.grad_weights.input_bias, of_input_);
            give_bias(call_.grad_weights.hidden_bias, of_hidden_);
        }
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), sequence = schedule_.order[rank];
            give_units(share, grad_hidden_ + rank * unit_panels_ * W, call_.grad_initial_hidden,
                       sequence);
            if constexpr (Cell::has_cell)
                give_units(share, grad_cell_ + rank * units_, call_.grad_initial_cell, sequence);
            if (call_.grad_input.data && share.leads)
                for (Index t = schedule_.lengths[rank]; t < call_.steps; ++t)
                    clear(call_.grad_input.at(t, sequence), call_.inputs);
        }
    }

    void give_bias(T* result, const WeightSums& of) const {
        if (!result) return;
        for (int gate = 0; gate < Cell::gates; ++gate)
            __builtin_memcpy(result + of.order[gate] * units_, bias_ + (of.slot + gate) * units_,
                             units_ * sizeof(T));
    }

    void give_units(const Share& share, const T* from, T* to, Index sequence) const {
        if (!to) return;
        for (Index u = first_unit(share); u < last_unit(share); ++u)
            to[sequence * units_ + u] = from[u];
    }
};

}  // namespace gated::GATED_TARGET
