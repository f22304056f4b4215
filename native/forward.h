// The loop over time, for any cell. The products with the input of a run of steps are one product.
#pragma once

#include "cells/cell.h"
#include "matmul.h"
#include "sequence.h"

namespace gated::GATED_TARGET {

// One step of the units of a panel, for some sequences: in a function of its own, like the product.
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
    const Index width_;  // of a row of sums
    Index rows_at_once_;
    T *input_weights_, *hidden_weights_, *bias_, *zeros_;
    T* sums_;
    const T** inputs_;
    StepRow<T>* step_rows_;
    const T** hidden_rows_;

    // One part's work and scratch memory.
    struct Own : Share {
        T* sums;           // (rows_at_once_, width_)
        const T** inputs;  // (rows_at_once_)
        StepRow<T>* rows;  // (ranks)
        const T** hidden;  // (ranks) the hidden state before the step
    };

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    void run_part(int part) {
        const int parts = team_.size();
        pack(panels_ * part / parts, panels_ * (part + 1) / parts);
        team_.barrier();
        Own own{{schedule_, team_, part, panels_},
                sums_ + part * rows_at_once_ * width_,
                inputs_ + part * rows_at_once_,
                step_rows_ + part * call_.sequences,
                hidden_rows_ + part * call_.sequences};
        if (own.ranks() > 0) run_steps(own);
    }

    void pack(Index first, Index last) {
        const Weights<const T>& weights = call_.weights;
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

    void run_steps(Own& own) {
        start(own);
        const Index steps = schedule_.lengths[own.rank(0)];
        for (Index first = 0; first < steps;) {
            Index last = first;
            for (Index rows = 0; last < steps; ++last) {
                rows += own.running(last);
                if (rows > rows_at_once_) break;
            }
            multiply_inputs(own, first, last);
            T* sums = own.sums;
            for (Index step = first; step < last; ++step) {
                take_step(own, step, sums);
                sums += own.running(step) * width_;
                if (own.splits_units) team_.barrier();
            }
            first = last;
        }
        finish(own);
    }

    void start(Own& own) {
        for (Index r = 0; r < own.ranks(); ++r) {
            const Index at = schedule_.order[own.rank(r)] * units_;
            StepRow<T>& row = own.rows[r];
            own.hidden[r] = call_.initial_hidden ? call_.initial_hidden + at : zeros_;
            row = StepRow<T>{};
            if constexpr (Cell::has_cell) {
                row.cell_before = call_.initial_cell ? call_.initial_cell + at : zeros_;
                if (!call_.cells) {  // nothing is kept: the state changes in place
                    row.cell = call_.final_cell + at;
                    copy_units(own, row.cell_before, row.cell);
                    row.cell_before = row.cell;
                }
            }
        }
    }

    void finish(Own& own) {
        for (Index r = 0; r < own.ranks(); ++r) {
            const Index rank = own.rank(r), sequence = schedule_.order[rank];
            copy_units(own, own.hidden[r], call_.final_hidden + sequence * units_);
            if constexpr (Cell::has_cell)
                if (call_.cells)
                    copy_units(own, own.rows[r].cell_before, call_.final_cell + sequence * units_);
            for (Index t = schedule_.lengths[rank]; t < call_.steps; ++t)
                copy_units(own, zeros_, call_.output.at(t, sequence));
        }
    }

    // Copies the part's units of a state.
    void copy_units(const Own& own, const T* from, T* to) const {
        const Index first = own.first_panel * Panel::template units<T>;
        Index last = own.last_panel * Panel::template units<T>;
        if (last > units_) last = units_;
        if (first < last) __builtin_memcpy(to + first, from + first, (last - first) * sizeof(T));
    }

    // The sums of steps `first` to `last` - 1, as far as they do not depend on the hidden state.
    void multiply_inputs(Own& own, Index first, Index last) {
        const Index begin = own.first_panel * panel_width;
        const Index bytes = (own.last_panel * panel_width - begin) * Index(sizeof(T));
        Index count = 0;
        for (Index step = first; step < last; ++step)
            for (Index r = 0; r < own.running(step); ++r, ++count) {
                const Index rank = own.rank(r), t = time_of(call_, schedule_, rank, step);
                own.inputs[count] = call_.input.at(t, schedule_.order[rank]);
                __builtin_memcpy(own.sums + count * width_ + begin, bias_ + begin, bytes);
            }
        for (Index p = own.first_panel; p < own.last_panel; ++p)
            multiply<T, V>(count, call_.inputs, AlongRows<T>{own.inputs, 0},
                           input_weights_ + p * V * L * call_.inputs,
                           own.sums + p * panel_width + Cell::input_slot * L, width_);
    }

    void take_step(Own& own, Index step, T* sums) {
        const Index running = own.running(step);
        for (Index r = 0; r < running; ++r) {
            const Index rank = own.rank(r), t = time_of(call_, schedule_, rank, step);
            StepRow<T>& row = own.rows[r];
            row.hidden_before = own.hidden[r];
            row.hidden = call_.output.at(t, schedule_.order[rank]);
            const Index packed = schedule_.offsets[t] + rank;
            if (Cell::has_cell && call_.cells) row.cell = call_.cells + packed * units_;
            if (call_.gates) row.gates = call_.gates + packed * Cell::kept * units_;
        }
        for (Index p = own.first_panel; p < own.last_panel; ++p) {
            T* panel = sums + p * panel_width;
            multiply<T, V>(running, units_, AlongRows<T>{own.hidden, 0},
                           hidden_weights_ + p * V * L * units_, panel + Cell::hidden_slot * L,
                           width_);
            step_of_panel<Cell>(panel, width_, own.rows, running,
                                p * Panel::template units<T>, units_);
        }
        for (Index r = 0; r < running; ++r) {
            own.hidden[r] = own.rows[r].hidden;
            own.rows[r].cell_before = own.rows[r].cell;
        }
    }
};

}  // namespace gated::GATED_TARGET
