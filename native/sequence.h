// The loop over time, for any cell.
//
// A part of the team takes some of the sequences over all steps, alone from start to end; or, where
// there are fewer sequences than would fill the team, some of the units of all sequences, and the
// team meets after each step. The products with the input of a run of steps are one product.
#pragma once

#include "cells/cell.h"
#include "matmul.h"
#include "rnn.h"
#include "schedule.h"
#include "threads.h"

namespace gated::GATED_TARGET {

// One step of the units of a panel, for some sequences: in its own function, like the product.
template <class Cell>
[[gnu::noinline]] void step_of_panel(const typename Cell::Value* sums, Index stride,
                                     const StepRow<typename Cell::Value>* rows, Index count,
                                     Index first_unit, Index units) {
    constexpr Index L = lanes<typename Cell::Value>;
    for (int group = 0; group < Cell::groups; ++group) {
        const Index unit = first_unit + group * L;
        if (unit + L <= units) {
            for (Index r = 0; r < count; ++r)
                Cell::forward(sums + r * stride, rows[r], unit, units, Whole{});
        } else if (unit < units) {
            for (Index r = 0; r < count; ++r)
                Cell::forward(sums + r * stride, rows[r], unit, units, Partial{units - unit});
        }
        sums += Cell::slots * L;
    }
}

template <class Cell>
class ForwardRun {
    using T = typename Cell::Value;
    static constexpr Index L = lanes<T>;
    static constexpr int V = Cell::groups * Cell::gates;
    using Panel = Panels<V, Cell::gates>;
    static constexpr Index panel_width = Cell::groups * Cell::slots * L;
    static_assert(Cell::groups == 1 || Cell::slots == Cell::gates, "a panel's sums lie together");

public:
    ForwardRun(const Forward<T>& call, const Schedule& schedule, Team& team)
        : call_(call), schedule_(schedule), team_(team), units_(call.units),
          panels_(Panel::template count<T>(units_)),
          split_units_(call.sequences < team.size()),
          // One line more than needed: rows a power of two apart would share a cache set.
          width_(panels_ * panel_width + 64 / Index(sizeof(T))) {
        const Index sequences = call.sequences;
        const Index fitting = 262144 / (width_ * Index(sizeof(T)));  // half a second cache
        rows_at_once_ = fitting < 64 ? 64 : fitting;
        if (rows_at_once_ < sequences) rows_at_once_ = sequences;
        if (rows_at_once_ > schedule.offsets.back() + 1)
            rows_at_once_ = schedule.offsets.back() + 1;
        input_weights_ = take<T>(panels_ * V * L * call.inputs);
        hidden_weights_ = take<T>(panels_ * V * L * units_);
        bias_ = take<T>(width_);
        zeros_ = take<T>(units_);
        for (Index u = 0; u < units_; ++u) zeros_[u] = 0;
        const Index shares = team.size();
        sums_ = take<T>(shares * rows_at_once_ * width_);
        inputs_ = take<const T*>(shares * rows_at_once_);
        step_rows_ = take<StepRow<T>>(shares * sequences);
        hidden_rows_ = take<const T*>(shares * sequences);
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<ForwardRun*>(self)->run_part(part); },
                  this);
    }

private:
    const Forward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Index units_, panels_;
    const bool split_units_;
    const Index width_;  // of a row of sums
    Index rows_at_once_;
    T *input_weights_, *hidden_weights_, *bias_, *zeros_;
    T* sums_;
    const T** inputs_;
    StepRow<T>* step_rows_;
    const T** hidden_rows_;

    // What one part of the team works on, and its own scratch memory.
    struct Share {
        Index first_rank, last_rank;    // of the sequences
        Index first_panel, last_panel;  // of the units
        T* sums;                        // (rows_at_once_, width_)
        const T** inputs;               // (rows_at_once_)
        StepRow<T>* rows;               // (ranks)
        const T** hidden;               // (ranks) the hidden state before the step
    };

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    void run_part(int part) {
        const int parts = team_.size();
        pack(panels_ * part / parts, panels_ * (part + 1) / parts);
        team_.barrier();
        Share share{};
        if (split_units_) {
            share.last_rank = call_.sequences;
            share.first_panel = panels_ * part / parts;
            share.last_panel = panels_ * (part + 1) / parts;
        } else {
            share.first_rank = schedule_.first_rank(part, parts);
            share.last_rank = schedule_.first_rank(part + 1, parts);
            share.last_panel = panels_;
        }
        share.sums = sums_ + part * rows_at_once_ * width_;
        share.inputs = inputs_ + part * rows_at_once_;
        share.rows = step_rows_ + part * call_.sequences;
        share.hidden = hidden_rows_ + part * call_.sequences;
        if (share.first_rank < share.last_rank) run_share(share);
    }

    void pack(Index first, Index last) {
        const Weights<T>& weights = call_.weights;
        Panel::pack(weights.input, units_, call_.inputs, Cell::input_order, first, last,
                    input_weights_);
        Panel::pack(weights.hidden, units_, units_, Cell::hidden_order, first, last,
                    hidden_weights_);
        for (Index i = first * panel_width; i < last * panel_width; ++i) bias_[i] = 0;
        for (Index p = first; p < last; ++p) {
            add_bias(weights.input_bias, p, Cell::input_slot, Cell::input_order);
            add_bias(weights.hidden_bias, p, Cell::hidden_slot, Cell::hidden_order);
        }
    }

    void add_bias(const T* bias, Index panel, int slot, const int* order) {
        if (!bias) return;
        for (int v = 0; v < V; ++v)
            for (Index lane = 0; lane < L; ++lane) {
                const Index unit = panel * Panel::template units<T> + v / Cell::gates * L + lane;
                if (unit >= units_) break;
                bias_[panel * panel_width + (slot + v) * L + lane] +=
                    bias[order[v % Cell::gates] * units_ + unit];
            }
    }

    void run_share(Share& share) {
        start(share);
        const Index steps = schedule_.lengths[share.first_rank];
        for (Index first = 0; first < steps;) {
            Index last = first;
            for (Index rows = 0; last < steps; ++last) {
                rows += ranks_running(share, last);
                if (rows > rows_at_once_) break;
            }
            multiply_inputs(share, first, last);
            T* sums = share.sums;
            for (Index step = first; step < last; ++step) {
                const Index running = ranks_running(share, step);
                take_step(share, step, running, sums);
                sums += running * width_;
                if (split_units_) team_.barrier();
            }
            first = last;
        }
        finish(share);
    }

    Index ranks_running(const Share& share, Index step) const {
        const Index running = schedule_.running(step);
        return (running < share.last_rank ? running : share.last_rank) - share.first_rank;
    }

    // The time that a rank is at in a step: a reversed sequence begins at its own end.
    Index time(Index rank, Index step) const {
        return call_.reverse ? schedule_.lengths[rank] - 1 - step : step;
    }

    void start(Share& share) {
        for (Index rank = share.first_rank; rank < share.last_rank; ++rank) {
            const Index r = rank - share.first_rank, at = schedule_.order[rank] * units_;
            StepRow<T>& row = share.rows[r];
            share.hidden[r] = call_.initial_hidden ? call_.initial_hidden + at : zeros_;
            row = StepRow<T>{share.hidden[r], nullptr, nullptr, nullptr, nullptr};
            if constexpr (Cell::has_cell) {
                row.cell_before = call_.initial_cell ? call_.initial_cell + at : zeros_;
                if (!call_.cells) {  // nothing is kept: the state changes in place
                    row.cell = call_.final_cell + at;
                    copy_units(share, row.cell_before, row.cell);
                    row.cell_before = row.cell;
                }
            }
        }
    }

    void finish(Share& share) {
        for (Index rank = share.first_rank; rank < share.last_rank; ++rank) {
            const Index r = rank - share.first_rank, sequence = schedule_.order[rank];
            copy_units(share, share.hidden[r], call_.final_hidden + sequence * units_);
            if constexpr (Cell::has_cell)
                if (call_.cells)
                    copy_units(share, share.rows[r].cell_before,
                               call_.final_cell + sequence * units_);
            for (Index t = schedule_.lengths[rank]; t < call_.steps; ++t)
                copy_units(share, zeros_, call_.output.at(t, sequence));
        }
    }

    // Copies the share's units of a state.
    void copy_units(const Share& share, const T* from, T* to) const {
        const Index first = share.first_panel * Panel::template units<T>;
        Index last = share.last_panel * Panel::template units<T>;
        if (last > units_) last = units_;
        if (first < last) __builtin_memcpy(to + first, from + first, (last - first) * sizeof(T));
    }

    // The sums of steps `first` to `last` - 1, as far as they do not depend on the hidden state.
    void multiply_inputs(Share& share, Index first, Index last) {
        const Index begin = share.first_panel * panel_width;
        const Index bytes = (share.last_panel * panel_width - begin) * Index(sizeof(T));
        Index count = 0;
        for (Index step = first; step < last; ++step)
            for (Index r = 0; r < ranks_running(share, step); ++r, ++count) {
                const Index rank = share.first_rank + r;
                share.inputs[count] = call_.input.at(time(rank, step), schedule_.order[rank]);
                __builtin_memcpy(share.sums + count * width_ + begin, bias_ + begin, bytes);
            }
        for (Index p = share.first_panel; p < share.last_panel; ++p)
            multiply_rows<T, V>(count, call_.inputs, share.inputs,
                                input_weights_ + p * V * L * call_.inputs,
                                share.sums + p * panel_width + Cell::input_slot * L, width_);
    }

    void take_step(Share& share, Index step, Index running, T* sums) {
        for (Index r = 0; r < running; ++r) {
            const Index rank = share.first_rank + r, t = time(rank, step);
            StepRow<T>& row = share.rows[r];
            row.hidden_before = share.hidden[r];
            row.hidden = call_.output.at(t, schedule_.order[rank]);
            const Index packed = schedule_.offsets[t] + rank;
            if (Cell::has_cell && call_.cells) row.cell = call_.cells + packed * units_;
            if (call_.gates) row.gates = call_.gates + packed * Cell::kept * units_;
        }
        for (Index p = share.first_panel; p < share.last_panel; ++p) {
            T* panel = sums + p * panel_width;
            multiply_rows<T, V>(running, units_, share.hidden,
                                hidden_weights_ + p * V * L * units_,
                                panel + Cell::hidden_slot * L, width_);
            step_of_panel<Cell>(panel, width_, share.rows, running,
                                p * Panel::template units<T>, units_);
        }
        for (Index r = 0; r < running; ++r) {
            share.hidden[r] = share.rows[r].hidden;
            share.rows[r].cell_before = share.rows[r].cell;
        }
    }
};

}  // namespace gated::GATED_TARGET
