// The loop over time, for any cell. The products with the input of a run of steps are one product.
#pragma once

#include "cells/cell.h"
#include "matmul.h"
#include "normalise.h"
#include "profile.h"
#include "sequence.h"
#include "zoneout.h"

namespace gated::GATED_TARGET {

// One step of the units `first` to `last` - 1 of some sequences: in a function of its own, like the
// product. `Part` says which part of the cell's step. A sequence at a time, so that lines of what is
// kept are written whole: rows a power of two apart share a cache set, and leave it early.
template <class Cell, class Part>
[[gnu::noinline]] void step_of_units(const typename Cell::Value* sums, Index stride,
                                     const StepRow<typename Cell::Value>* rows, Index count,
                                     Index first, Index last, Index units, Part part) {
    constexpr Index L = lanes<typename Cell::Value>;
    for (Index r = 0; r < count; ++r, sums += stride) {
        const auto* of_unit = sums;
        Index unit = first;
        for (; unit + L <= last; unit += L, of_unit += Cell::slots * L)
            part(of_unit, r, rows[r], unit, units, Whole{});
        if (unit < last) part(of_unit, r, rows[r], unit, units, Partial{last - unit});
    }
}

template <class Cell>
class ForwardRun {
    using T = typename Cell::Value;
    static constexpr Index L = lanes<T>;
    static constexpr int V = Cell::groups * Cell::gates;
    static constexpr int hidden_V = Cell::groups * Cell::hidden_gates;
    using InputPanel = Panels<V, Cell::gates>;
    using HiddenPanel = Panels<hidden_V, Cell::hidden_gates>;
    using SecondPanel = Panels<plain_vectors, 1>;
    static constexpr Index panel_width = Cell::groups * Cell::slots * L;
    static constexpr Index panels_of_line = (line<T> + Cell::groups * L - 1) / (Cell::groups * L);
    static_assert(Cell::groups == 1 || Cell::slots == Cell::gates, "a panel's sums lie together");

public:
    ForwardRun(const Forward<T>& call, const Schedule& schedule, Team& team)
        : ForwardRun(call, schedule, team, team.size()) {}

    // With room for as many parts as a team may have that repeats the call.
    ForwardRun(const Forward<T>& call, const Schedule& schedule, Team& team, int parts)
        : call_(call), schedule_(schedule), team_(team), units_(call.units),
          outputs_(call.outputs), panels_(InputPanel::template count<T>(units_)),
          // One line more than needed: rows a power of two apart would share a cache set.
          width_(panels_ * panel_width + line<T>),
          normalises_(call.weights.hidden_gain), zones_out_(call.zoneout.hidden > 0 ||
                                                            call.zoneout.cell > 0) {
        const Index sequences = call.sequences;
        const Index fitting = 262144 / (width_ * Index(sizeof(T)));  // half a second cache
        rows_at_once_ = fitting < 64 ? 64 : fitting;
        if (rows_at_once_ < sequences) rows_at_once_ = sequences;
        if (rows_at_once_ > schedule.offsets.back() + 1)
            rows_at_once_ = schedule.offsets.back() + 1;
        input_weights_ = take<T>(panels_ * V * L * call.inputs);
        hidden_weights_ = take<T>(panels_ * hidden_V * L * outputs_);
        bias_ = take<T>(width_);
        if (normalises_) {
            input_gain_ = take<T>(width_);
            hidden_gain_ = take<T>(width_);
        }
        if (normalises_ && Cell::has_cell) {
            cell_gain_ = take<T>(2 * units_);
            __builtin_memcpy(cell_gain_, call.weights.cell_gain, units_ * sizeof(T));
            __builtin_memcpy(cell_gain_ + units_, call.weights.cell_bias, units_ * sizeof(T));
        }
        if (call.weights.projection || Cell::second_gate >= 0) {
            second_width_ = plain_panels<T>(outputs_) * plain_width<T>;
            second_weights_ = take<T>(second_width_ * units_);
        }
        const Index widest = units_ > outputs_ ? units_ : outputs_;
        zeros_ = take<T>(widest);
        for (Index u = 0; u < widest; ++u) zeros_[u] = 0;
        const Index shares = parts;
        sums_ = take<T>(shares * rows_at_once_ * width_);
        if (normalises_) raw_ = take<T>(shares * rows_at_once_ * width_);
        inputs_ = take<const T*>(shares * rows_at_once_);
        rows_ = take<Row>(shares * sequences);
        step_rows_ = take<StepRow<T>>(shares * sequences);
        hidden_rows_ = take<const T*>(shares * sequences);
        spare_width_ = 2 * widest + 4 * units_ + Cell::kept * units_;
        if (needs_spare()) spare_ = take<T>(shares * sequences * spare_width_);
        if (second_weights_) second_ = take<T>(shares * sequences * second_width_);
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<ForwardRun*>(self)->run_part(part); },
                  this);
    }

    // Packs a part's share of the weights; to be followed by a barrier.
    void prepare(int part) {
        GATED_TIMED(packing);
        const int parts = team_.size();
        pack(panels_ * part / parts, panels_ * (part + 1) / parts);
        if (second_weights_) {
            const Index panels = plain_panels<T>(outputs_);
            const Index from = Cell::second_gate * units_ * outputs_;
            const bool projects = Cell::second_gate < 0;
            const T* matrix = projects ? call_.weights.projection : call_.weights.hidden + from;
            const T* mask = projects || !call_.weight_mask ? nullptr : call_.weight_mask + from;
            constexpr int only[] = {0};
            SecondPanel::pack(matrix, mask, outputs_, units_, only, panels * part / parts,
                              panels * (part + 1) / parts, second_weights_);
        }
    }

    // A part of the whole of a call that was prepared once, again and again, for any team.
    void repeat(Team& team, int part) {
        Own own = share_of(team, part);
        if (own.ranks() == 0) return;
        run_steps(own, 0, call_.steps);
        finish(own);
    }

    // Computes a part's steps `first` to `last` - 1 once more, from the states that the pass left
    // in call.output and call.kept.cells. `kept` has the rows of these steps alone, in their order.
    void replay(int part, Index first, Index last, const Kept<T>& kept) {
        Own own = share_of(team_, part);
        own.replays = &kept;
        own.first_row = schedule_.offsets[first];
        if (own.ranks() > 0) run_steps(own, first, last);
    }

private:
    const Forward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Index units_, outputs_, panels_;
    const Index width_;  // of a row of sums
    const bool normalises_, zones_out_;
    Index rows_at_once_, second_width_ = 0, spare_width_ = 0;
    T *input_weights_, *hidden_weights_, *second_weights_ = nullptr, *bias_, *zeros_;
    T *input_gain_ = nullptr, *hidden_gain_ = nullptr, *cell_gain_ = nullptr;
    T *sums_, *raw_ = nullptr, *spare_ = nullptr, *second_ = nullptr;
    const T** inputs_;
    StepRow<T>* step_rows_;
    const T** hidden_rows_;

    // What the loop needs of a sequence beside what its cell does.
    struct Row {
        Index time, sequence;
        T* output;           // (P), where the step's hidden state goes
        T *normalised, *scales;
        T *masked;           // (P) the hidden state before, under the mask
        T* spare;            // memory of its own, see `spare_of`
    };
    Row* rows_;

    // One part's work and scratch memory.
    struct Own : Share {
        T *sums, *raw;         // (rows_at_once_, width_)
        const T** inputs;      // (rows_at_once_)
        StepRow<T>* steps;     // (ranks)
        Row* rows;             // (ranks)
        const T** hidden;      // (ranks) the hidden state before the step, as products read it
        T* second;             // (ranks, second_width_)
        T* spare;              // (ranks, spare_width_)
        const Kept<T>* replays = nullptr;
        Index first_row = 0;   // of the steps replayed
    };

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    // A row's own memory: what a step computes that is not kept.
    struct Spare {
        T *masked, *hidden;        // (max(H, P))
        T *middle, *cells, *gates; // (H), (2, H), (kept, H)
    };
    bool needs_spare() const {
        return call_.hidden_mask || second_weights_ || normalises_ || zones_out_ ||
               !call_.kept.gates;
    }
    Spare spare_of(const Row& row) const {
        const Index widest = (spare_width_ - (4 + Cell::kept) * units_) / 2;
        T* at = row.spare;
        return {at, at + widest, at + 2 * widest, at + 2 * widest + units_,
                at + 2 * widest + 4 * units_};
    }

    Own share_of(Team& team, int part) const {
        const Index sequences = call_.sequences, rows = part * rows_at_once_;
        return {{schedule_, team, part, panels_, needs_whole_rows<Cell>(call_)},
                sums_ + rows * width_,
                raw_ ? raw_ + rows * width_ : nullptr,
                inputs_ + rows,
                step_rows_ + part * sequences,
                rows_ + part * sequences,
                hidden_rows_ + part * sequences,
                second_ ? second_ + part * sequences * second_width_ : nullptr,
                spare_ ? spare_ + part * sequences * spare_width_ : nullptr};
    }

    void run_part(int part) {
        prepare(part);
        team_.barrier();
        Own own = share_of(team_, part);
        if (own.ranks() == 0) return;
        run_steps(own, 0, schedule_.lengths[own.rank(0)]);
        finish(own);
    }

    void pack(Index first, Index last) {
        const Weights<const T>& weights = call_.weights;
        InputPanel::template pack<T>(weights.input, nullptr, units_, call_.inputs,
                                     Cell::input_order, first, last, input_weights_);
        HiddenPanel::template pack<T>(weights.hidden, call_.weight_mask, units_, outputs_,
                                      Cell::hidden_order, first, last, hidden_weights_);
        add_in_panels(nullptr, first, last, 0, Cell::input_order, bias_);
        add_in_panels(weights.input_bias, first, last, Cell::input_slot, Cell::input_order, bias_);
        add_in_panels(weights.hidden_bias, first, last, Cell::hidden_slot, Cell::hidden_order,
                      bias_);
        if (!normalises_) return;
        for (T* gains : {input_gain_, hidden_gain_})
            add_in_panels(nullptr, first, last, 0, Cell::input_order, gains);
        add_in_panels(weights.input_gain, first, last, Cell::input_slot, Cell::input_order,
                      input_gain_);
        add_in_panels(weights.hidden_gain, first, last, Cell::hidden_slot, Cell::hidden_order,
                      hidden_gain_);
    }

    // Adds a vector (G·H) to one that lies as the sums do; clears that for null.
    void add_in_panels(const T* vector, Index first, Index last, int slot, const int* order,
                       T* sums) const {
        if (!vector) __builtin_memset(sums + first * panel_width, 0,
                                      (last - first) * panel_width * sizeof(T));
        if (!vector) return;
        for (Index p = first; p < last; ++p)
            for (int v = 0; v < V; ++v)
                for (Index lane = 0; lane < L; ++lane) {
                    const Index unit = (p * Cell::groups + v / Cell::gates) * L + lane;
                    if (unit >= units_) break;
                    sums[p * panel_width + (slot + v) * L + lane] +=
                        vector[order[v % Cell::gates] * units_ + unit];
                }
    }

    void run_steps(Own& own, Index begin, Index end) {
        start(own, begin);
        for (Index first = begin; first < end;) {
            Index last = first;
            for (Index rows = 0; last < end; ++last) {
                rows += own.running(last);
                if (rows > rows_at_once_) break;
            }
            multiply_inputs(own, first, last);
            T* sums = own.sums;
            for (Index step = first; step < last; ++step) {
                const Index running = own.running(step);
                locate(own, step, running);
                take_step(own, running, sums);
                sums += running * width_;
                if (own.splits_units) own.team.barrier();
            }
            first = last;
        }
    }

    void start(Own& own, Index step) {
        for (Index r = 0; r < own.ranks(); ++r) {
            Row& row = own.rows[r];
            row = Row{};
            row.sequence = schedule_.order[own.rank(r)];
            StepRow<T>& at = own.steps[r] = StepRow<T>{};
            if (spare_) {
                row.spare = own.spare + r * spare_width_;
                const Spare spare = spare_of(row);
                if (call_.hidden_mask) row.masked = spare.masked;
                if (second_weights_) at.middle = spare.middle;
                at.cell = spare.cells;
                if (normalises_ && !call_.kept.gates) at.gates = spare.gates;
            }
            at.normalises_cell = Cell::has_cell && normalises_;
            if (step > 0 && own.running(step) <= r) continue;
            const States<T> before = states_before(call_, schedule_, call_.output,
                                                   call_.kept.cells, zeros_, own.rank(r), step);
            at.hidden_before = before.hidden;
            at.cell_before = before.cell;
        }
    }

    // Says where the running sequences' states are and go.
    void locate(Own& own, Index step, Index running) {
        GATED_TIMED(copying);
        for (Index r = 0; r < running; ++r) {
            const Index rank = own.rank(r);
            Row& row = own.rows[r];
            StepRow<T>& at = own.steps[r];
            row.time = time_of(call_, schedule_, rank, step);
            row.output = call_.output.at(row.time, row.sequence);
            const Kept<T>& kept = own.replays ? *own.replays : call_.kept;
            Index packed = schedule_.offsets[row.time] + rank;
            if (own.replays) {
                packed = schedule_.offsets[step] - own.first_row + rank;
                const States<T> before = states_before(call_, schedule_, call_.output,
                                                       call_.kept.cells, zeros_, rank, step);
                at.hidden_before = before.hidden;
                at.cell_before = before.cell;
                row.output = spare_of(row).hidden;
            } else if (Cell::has_cell && kept.cells) {
                at.cell = kept.cells + packed * units_;
            } else if (Cell::has_cell) {  // two in turn
                T* cells = spare_of(row).cells;
                at.cell = at.cell_before == cells ? cells + units_ : cells;
            }
            at.hidden = call_.weights.projection ? at.middle : row.output;
            if (kept.gates) at.gates = kept.gates + packed * Cell::kept * units_;
            if (kept.scales) {
                row.normalised = kept.normalised + packed * 2 * Cell::gates * units_;
                row.scales = kept.scales + packed * kept_scales;
            }
            if (row.masked) {
                const T* mask = call_.hidden_mask + row.sequence * outputs_;
                for (Index u = 0; u < outputs_; ++u) row.masked[u] = mask[u] * at.hidden_before[u];
            }
            own.hidden[r] = at.hidden_read = row.masked ? row.masked : at.hidden_before;
        }
    }

    void finish(Own& own) {
        GATED_TIMED(copying);
        for (Index r = 0; r < own.ranks(); ++r) {
            const Index rank = own.rank(r), sequence = schedule_.order[rank];
            copy_units(own, own.steps[r].hidden_before, call_.final_hidden + sequence * outputs_,
                       outputs_);
            if constexpr (Cell::has_cell)
                copy_units(own, own.steps[r].cell_before, call_.final_cell + sequence * units_,
                           units_);
            for (Index t = schedule_.lengths[rank]; t < call_.steps; ++t)
                copy_units(own, zeros_, call_.output.at(t, sequence), outputs_);
        }
    }

    // The part's units of a state of `width` units: all of them, where it has whole rows.
    struct Span {
        Index first, last;
    };
    Span span_of(const Own& own, Index width) const {
        if (!own.splits_units) return {0, width};
        const Index each = InputPanel::template units<T>;
        const Index first = own.first_panel * each, last = own.last_panel * each;
        return {first < width ? first : width, last < width ? last : width};
    }

    void copy_units(const Own& own, const T* from, T* to, Index width) const {
        const auto [first, last] = span_of(own, width);
        if (first < last) __builtin_memcpy(to + first, from + first, (last - first) * sizeof(T));
    }

    // The sums of steps `first` to `last` - 1, as far as they do not depend on the hidden state.
    void multiply_inputs(Own& own, Index first, Index last) {
        GATED_TIMED(copying);
        const Index begin = own.first_panel * panel_width;
        const Index bytes = (own.last_panel * panel_width - begin) * Index(sizeof(T));
        Index count = 0;
        for (Index step = first; step < last; ++step)
            for (Index r = 0; r < own.running(step); ++r, ++count) {
                const Index rank = own.rank(r), t = time_of(call_, schedule_, rank, step);
                own.inputs[count] = call_.input.at(t, schedule_.order[rank]);
                __builtin_memcpy(own.sums + count * width_ + begin, bias_ + begin, bytes);
            }
        T* sums = normalises_ ? own.raw : own.sums;
        if (normalises_) __builtin_memset(sums, 0, count * width_ * sizeof(T));
        for (Index p = own.first_panel; p < own.last_panel; ++p) {
            GATED_TIMED(input_product);
            const T* weights = input_weights_ + p * V * L * call_.inputs;
            T* of_panel = sums + p * panel_width + Cell::input_slot * L;
            if (is_alone() && call_.steps == 1)
                multiply_one<T, V>(call_.inputs, own.inputs[0], weights, of_panel);
            else
                multiply<T, V>(count, call_.inputs, AlongRows<T>{own.inputs, 0}, weights, of_panel,
                               width_, come_from_memory<T>(panels_ * V * L * call_.inputs));
        }
        if (!normalises_) return;
        GATED_TIMED(pointwise);
        Index i = 0;
        for (Index step = first; step < last; ++step)
            for (Index r = 0; r < own.running(step); ++r, ++i) {
                const Index packed = packed_row(own, own.rank(r), step);
                const Kept<T>& kept = own.replays ? *own.replays : call_.kept;
                add_normalised<T, Cell::slots>(
                    own.raw + i * width_, input_gain_, Cell::input_spans, units_,
                    own.sums + i * width_,
                    kept.scales ? kept.normalised + packed * 2 * Cell::gates * units_ : nullptr,
                    kept.scales ? kept.scales + packed * kept_scales : nullptr);
            }
    }

    // Whether there is but one sequence, however many parts there are.
    bool is_alone() const { return call_.sequences == 1; }

    Index packed_row(const Own& own, Index rank, Index step) const {
        if (own.replays) return schedule_.offsets[step] - own.first_row + rank;
        return schedule_.offsets[time_of(call_, schedule_, rank, step)] + rank;
    }

    void take_step(Own& own, Index running, T* sums) {
        GATED_TIMED(hidden_product);
        T* products = normalises_ ? own.raw : sums;
        const Index at_once = is_alone() ? panels_ : panels_of_line;
        if (normalises_) __builtin_memset(products, 0, running * width_ * sizeof(T));
        for (Index p = own.first_panel; p < own.last_panel; ++p) {
            const T* weights = hidden_weights_ + p * hidden_V * L * outputs_;
            T* of_panel = products + p * panel_width + Cell::hidden_slot * L;
            if (is_alone())
                multiply_one<T, hidden_V>(outputs_, own.hidden[0], weights, of_panel);
            else
                multiply<T, hidden_V>(running, outputs_, AlongRows<T>{own.hidden, 0}, weights,
                                      of_panel, width_,
                                      come_from_memory<T>(panels_ * hidden_V * L * outputs_));
            // While the sums are in the first cache, and a line of units at a time.
            const Index done = p + 1 - own.first_panel;
            if (!normalises_ && (done % at_once == 0 || p + 1 == own.last_panel))
                step_of(own, running, sums, p - (done - 1) % at_once, p + 1);
        }
        if (normalises_) {
            GATED_TIMED(pointwise);
            normalise(own, running, sums);
            step_of(own, running, sums, 0, panels_);
            if constexpr (Cell::has_cell) show_cells(own, running);
        }
        if (Cell::second_gate >= 0 || (second_weights_ && !own.replays))
            multiply_second(own, running, sums);
        if (zones_out_ && !own.replays) keep_old(own, running);
        for (Index r = 0; r < running; ++r) {
            own.steps[r].hidden_before = own.rows[r].output;
            own.steps[r].cell_before = own.steps[r].cell;
        }
    }

    void step_of(const Own& own, Index running, const T* sums, Index first, Index last) const {
        GATED_TIMED(pointwise);
        constexpr Index each = InputPanel::template units<T>;
        step_of_units<Cell>(sums + first * panel_width, width_, own.steps, running, first * each,
                            last * each < units_ ? last * each : units_, units_,
                            [](const T* sums, Index, const StepRow<T>& row, Index unit,
                               Index units, auto access) __attribute__((always_inline)) {
                                Cell::forward(sums, row, unit, units, access);
                            });
    }

    void normalise(const Own& own, Index running, T* sums) const {
        for (Index r = 0; r < running; ++r) {
            const Row& row = own.rows[r];
            add_normalised<T, Cell::slots>(
                own.raw + r * width_, hidden_gain_, Cell::hidden_spans, units_, sums + r * width_,
                row.scales ? row.normalised + Cell::gates * units_ : nullptr,
                row.scales ? row.scales + 2 : nullptr);
        }
    }

    void show_cells(const Own& own, Index running) const {
        for (Index r = 0; r < running; ++r) {
            const StepRow<T>& at = own.steps[r];
            show_cell<T>(at.cell, at.gates + Cell::output_gate * units_, cell_gain_, cell_gain_ + units_, units_,
                         at.hidden,
                         own.rows[r].scales ? own.rows[r].scales + 4 : nullptr);
        }
    }

    // The product that a step needs beside its first: with the projection, or of the gate that
    // waited for the others.
    void multiply_second(const Own& own, Index running, const T* sums) const {
        constexpr Index W = plain_width<T>;
        for (Index r = 0; r < running; ++r) {
            __builtin_memset(own.second + r * second_width_, 0, second_width_ * sizeof(T));
            own.hidden[r] = own.steps[r].middle;
        }
        for (Index p = 0; p < plain_panels<T>(outputs_); ++p) {
            const T* weights = second_weights_ + p * W * units_;
            if (is_alone())
                multiply_one<T, plain_vectors>(units_, own.hidden[0], weights, own.second + p * W);
            else
                multiply<T, plain_vectors>(running, units_, AlongRows<T>{own.hidden, 0}, weights,
                                           own.second + p * W, second_width_);
        }
        if constexpr (Cell::second_gate >= 0) {
            GATED_TIMED(pointwise);
            step_of_units<Cell>(
                sums, width_, own.steps, running, 0, units_, units_,
                [&](const T* sums, Index r, const StepRow<T>& row, Index unit, Index units,
                    auto access) __attribute__((always_inline)) {
                    Cell::finish(sums, own.second + r * second_width_ + unit, row, unit, units,
                                 access);
                });
        } else {
            for (Index r = 0; r < running; ++r)
                __builtin_memcpy(own.rows[r].output, own.second + r * second_width_,
                                 outputs_ * sizeof(T));
        }
    }

    void keep_old(const Own& own, Index running) const {
        GATED_TIMED(pointwise);
        const auto [first, last] = span_of(own, outputs_);
        const auto [first_unit, last_unit] = span_of(own, units_);
        for (Index r = 0; r < running; ++r) {
            const Row& row = own.rows[r];
            const StepRow<T>& at = own.steps[r];
            T* kept = spare_of(row).cells + 2 * units_;
            if (call_.zoneout.hidden > 0) {
                T* kept = spare_of(row).hidden;
                kept_by_zoneout(call_.zoneout, 0, row.time, row.sequence, first, last, kept);
                zone_out(kept, at.hidden_before, first, last, row.output);
            }
            if (Cell::has_cell && call_.zoneout.cell > 0) {
                kept_by_zoneout(call_.zoneout, 1, row.time, row.sequence, first_unit, last_unit,
                                kept);
                zone_out(kept, at.cell_before, first_unit, last_unit, at.cell);
            }
        }
    }
};

// A layer's step, prepared once: its weights are packed and its memory is there.
template <class Cell>
class PreparedStep final : public Step {
public:
    using Value = typename Cell::Value;

    PreparedStep(const Forward<Value>& call, int parts)
        : call_(call), schedule_(call.steps, call.sequences, nullptr),
          run_(call_, schedule_, memory_, parts) {
        run_.prepare(0);
    }

    void run(Team& team, int part) noexcept override { run_.repeat(team, part); }

private:
    const Forward<Value> call_;
    const Schedule schedule_;
    Team memory_;
    ForwardRun<Cell> run_;
};

}  // namespace gated::GATED_TARGET
