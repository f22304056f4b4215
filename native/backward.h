// The way back through time, for any cell.
//
// A run of steps at a time: first step by step the gradients of the gates' sums, since each step
// needs the one after it; then, at one go and shared out anew, what follows from the run's sums:
// the gradients of the input and of the weights. Weights sum over the rows of a run in the order of
// the rows, whoever does it, so that results do not depend on the number of threads.
#pragma once

#include <optional>

#include "cells/cell.h"
#include "forward.h"
#include "matmul.h"
#include "normalise.h"
#include "profile.h"
#include "sequence.h"
#include "zoneout.h"

namespace gated::GATED_TARGET {

// `part` of a step's gradients, for the units `first` to `last` - 1 of some sequences.
template <class T, class Part>
[[gnu::noinline]] void step_back(const GradRow<T>* rows, Index count, Index first, Index last,
                                 Index units, Part part) {
    constexpr Index L = lanes<T>;
    for (Index r = 0; r < count; ++r) {
        Index unit = first;
        for (; unit + L <= last; unit += L) part(rows[r], unit, units, Whole{});
        if (unit < last) part(rows[r], unit, units, Partial{last - unit});
    }
}

template <class Cell>
class BackwardRun {
    using T = typename Cell::Value;
    static constexpr Index L = lanes<T>;
    static constexpr int V = plain_vectors;
    static constexpr Index W = plain_width<T>;
    static constexpr bool two_products = Cell::second_gate >= 0;

public:
    BackwardRun(const Backward<T>& call, const Schedule& schedule, Team& team)
        : call_(call), schedule_(schedule), team_(team), units_(call.units),
          outputs_(call.outputs), depth_(Cell::gates * units_),
          hidden_depth_(Cell::hidden_gates * units_), state_panels_(plain_panels<T>(outputs_)),
          unit_panels_(plain_panels<T>(units_)), input_panels_(plain_panels<T>(call.inputs)),
          // One line more than needed: rows a power of two apart would share a cache set.
          width_(line_more(Cell::slots * units_)), rows_at_once_(rows_at_once()),
          projects_(call.weights.projection), normalises_(call.weights.hidden_gain),
          zones_out_(call.zoneout.hidden > 0 || call.zoneout.cell > 0),
          sums_up_first_(projects_ || zones_out_ || call.grad_kept.cells) {
        const Index sequences = call.sequences;
        hidden_weights_ = take<T>(state_panels_ * W * hidden_depth_);
        const Index widest = units_ > outputs_ ? units_ : outputs_;
        zeros_ = take<T>(widest);
        clear(zeros_, widest);
        grad_sums_ = take<T>(rows_at_once_ * width_);
        grad_hidden_ = take<T>(sequences * state_panels_ * W);
        if (Cell::has_cell) grad_cell_ = take<T>(sequences * units_);
        grad_rows_ = take<GradRow<T>>(team.size() * sequences);
        rows_ = take<RowOfRun>(rows_at_once_);
        if (call.grad_input.data) {
            input_weights_ = take<T>(input_panels_ * W * depth_);
            grad_inputs_ = take<T>(team.size() * rows_at_once_ * W);
        }
        if (two_products || projects_) {
            second_weights_ = take<T>(unit_panels_ * W * outputs_);
            middle_ = take<T>(rows_at_once_ * units_);
            grad_middle_ = take<T>(sequences * unit_panels_ * W);
        }
        if (projects_) grad_projected_ = take<T>(rows_at_once_ * (outputs_ + line<T>));
        if (call.hidden_mask) {
            grad_read_ = take<T>(sequences * state_panels_ * W);
            hidden_read_ = take<T>(sequences * outputs_);
        }
        if (zones_out_) around_ = take<T>(sequences * (outputs_ + units_ + widest));
        if (normalises_) take_normalisation();
        left_ = take<T>(team.size() * rows_at_once_ * tallest);
        name_products();
        bias_ = take<T>(Cell::slots * units_);
        if (!call.kept.gates) take_replay();
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<BackwardRun*>(self)->run_part(part); },
                  this);
    }

private:
    // A row of the run in hand: one sequence at one step.
    struct RowOfRun {
        const T* normalised;     // (2, G, H), or null
        T* grad_input;           // (I)
    };

    enum class Right { input, hidden, middle };  // what a product takes there

    // The gradient of a weight matrix, summed over the runs in panels of columns: of the product
    // of some gates' gradients with what those gates saw.
    struct WeightSums {
        T* result;         // (blocks·block_rows, columns)
        T* sums;           // the same, or with the columns of the last panel filled up
        Index columns, stride, panels;
        int blocks;        // gates, or one
        Index block_rows;
        const T* left;     // (rows of the run, left_stride), the gradient of the first block's sums
        Index left_stride;
        const int* order;  // of the blocks in the result
        Right right;
        int cuts;          // of a block, so that a part of it stays in the second cache
        T* packed;         // (panels, rows of the run, W), the right

        Index jobs() const { return blocks * cuts * panels; }
    };
    static constexpr Index tallest = 128;

    static Index line_more(Index width) { return (width + L - 1) / L * L + line<T>; }

    const Backward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Index units_, outputs_, depth_, hidden_depth_, state_panels_, unit_panels_, input_panels_;
    const Index width_;  // of a row of grad_sums_
    const Index rows_at_once_;
    const bool projects_, normalises_, zones_out_;
    const bool sums_up_first_;  // the gradient of a step's states, before the cell sees it
    T *hidden_weights_, *input_weights_ = nullptr, *second_weights_ = nullptr, *zeros_;
    T* grad_sums_;       // (rows_at_once_, width_)
    T* grad_hidden_;     // (ranks, state_panels_·W)
    T* grad_cell_ = nullptr;       // (ranks, H)
    T* grad_inputs_ = nullptr;     // (team, rows_at_once_, W)
    T* middle_ = nullptr;          // (rows_at_once_, H)
    T* grad_middle_ = nullptr;     // (ranks, unit_panels_·W)
    T* grad_projected_ = nullptr;  // (rows_at_once_, P + line)
    T *grad_read_ = nullptr, *hidden_read_ = nullptr;  // (ranks, state_panels_·W), (ranks, P)
    T* around_ = nullptr;          // (ranks, P + H + max(H, P)): what flows past zoneout
    T* left_;            // (team, rows_at_once_, tallest)
    T* bias_;            // (slots, H)
    GradRow<T>* grad_rows_;
    RowOfRun* rows_;
    WeightSums products_[4];
    int product_count_ = 0;

    // Of layer normalisation: gradients of the sums before they were normalised, and of the gains.
    T *grad_raw_input_ = nullptr, *grad_raw_hidden_ = nullptr;  // (rows_at_once_, raw_width_)
    T *cell_rows_ = nullptr;             // (rows_at_once_, 3, H): shown, normalised, grad_shown
    T *input_gain_ = nullptr, *hidden_gain_ = nullptr;  // (G, H) in the order of the slots
    T *input_gain_sums_ = nullptr, *hidden_gain_sums_ = nullptr, *cell_gain_sums_ = nullptr;
    Index raw_width_ = 0;

    // Of recomputation: the forward pass again, and what it keeps of the run in hand.
    Forward<T> again_{};
    std::optional<ForwardRun<Cell>> replay_;
    Kept<T> replayed_{};

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

    void take_normalisation() {
        raw_width_ = line_more(depth_);
        grad_raw_input_ = take<T>(rows_at_once_ * raw_width_);
        grad_raw_hidden_ = take<T>(rows_at_once_ * raw_width_);
        input_gain_ = take<T>(depth_);
        hidden_gain_ = take<T>(depth_);
        input_gain_sums_ = take<T>(depth_);
        hidden_gain_sums_ = take<T>(depth_);
        if (!Cell::has_cell) return;
        cell_rows_ = take<T>(rows_at_once_ * 3 * units_);
        cell_gain_sums_ = take<T>(2 * units_);
    }

    void take_replay() {
        static_cast<Layer<T>&>(again_) = call_;
        // Replaying reads these alone.
        again_.output = {const_cast<T*>(call_.output.data), call_.output.step, call_.output.sequence};
        again_.kept.cells = const_cast<T*>(call_.kept.cells);
        replayed_.gates = take<T>(rows_at_once_ * Cell::kept * units_);
        if (normalises_) {
            replayed_.normalised = take<T>(rows_at_once_ * 2 * depth_);
            replayed_.scales = take<T>(rows_at_once_ * kept_scales);
        }
        replay_.emplace(again_, schedule_, team_);
    }

    // The place of a rank's step in what was kept.
    Index packed_row(Index rank, Index step) const {
        return schedule_.offsets[time_of(call_, schedule_, rank, step)] + rank;
    }

    // What the forward pass left of a rank's step.
    Kept<const T> kept_at(Index rank, Index step, Index row_of_run) const {
        Kept<const T> kept = call_.kept;
        Index at = packed_row(rank, step);
        if (replay_) {
            kept = {replayed_.gates, nullptr, replayed_.normalised, replayed_.scales};
            at = row_of_run;
        }
        kept.gates += at * Cell::kept * units_;
        if (kept.scales) {
            kept.normalised += at * 2 * depth_;
            kept.scales += at * kept_scales;
        }
        return kept;
    }

    void name_products() {
        static constexpr int first_order[] = {0};
        const Weights<T>& grads = call_.grad_weights;
        const T *of_input = grad_sums_ + Cell::input_slot * units_, *of_hidden =
            grad_sums_ + Cell::hidden_slot * units_;
        add_product(grads.input, call_.inputs, Cell::gates, units_,
                    normalises_ ? grad_raw_input_ : of_input, normalises_ ? raw_width_ : width_,
                    Cell::input_order, Right::input);
        add_product(grads.hidden, outputs_, Cell::hidden_gates, units_,
                    normalises_ ? grad_raw_hidden_ : of_hidden, normalises_ ? raw_width_ : width_,
                    Cell::hidden_order, Right::hidden);
        if constexpr (two_products)
            add_product(grads.hidden ? grads.hidden + Cell::second_gate * units_ * outputs_ : nullptr,
                        units_, 1, units_, grad_sums_ + Cell::second_gate * units_, width_,
                        first_order, Right::middle);
        add_product(grads.projection, units_, 1, outputs_, grad_projected_, outputs_ + line<T>,
                    first_order, Right::middle);
    }

    void add_product(T* result, Index columns, int blocks, Index block_rows, const T* left,
                     Index left_stride, const int* order, Right right) {
        if (!result) return;
        WeightSums& of = products_[product_count_++];
        of = {result, result,     columns, columns,     plain_panels<T>(columns), blocks,
              block_rows, left, left_stride, order, right,
              int((block_rows + tallest - 1) / tallest),
              take<T>(plain_panels<T>(columns) * rows_at_once_ * W)};
        if (columns % W) {
            of.stride = of.panels * W;
            of.sums = take<T>(blocks * block_rows * of.stride);
        }
    }

    void run_part(int part) {
        const int parts = team_.size();
        const Share share(schedule_, team_, part, state_panels_, needs_whole_rows<Cell>(call_));
        start(share, part, parts);
        if (replay_) replay_->prepare(part);
        team_.barrier();
        for (Index last = longest(); last > 0;) {
            Index first = last, rows = 0;
            while (first > 0 && rows + schedule_.running(first - 1) <= rows_at_once_)
                rows += schedule_.running(--first);
            if (replay_) {
                replay_->replay(part, first, last, replayed_);
                if (share.splits_units) team_.barrier();
            }
            steps_back(share, grad_rows_ + part * call_.sequences, first, last, rows);
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
        GATED_TIMED(packing);
        const Weights<const T>& weights = call_.weights;
        const auto pack = [&](const T* matrix, const T* mask, Index columns, const int* order,
                              Index block, Index depth, T* packed) {
            pack_transposed(matrix, mask, columns, order, block, depth, packed, part, parts);
        };
        pack(weights.hidden, call_.weight_mask, outputs_, Cell::hidden_order, units_, hidden_depth_,
             hidden_weights_);
        if (call_.grad_input.data)
            pack(weights.input, nullptr, call_.inputs, Cell::input_order, units_, depth_,
                 input_weights_);
        static constexpr int second_order[] = {two_products ? Cell::second_gate : 0};
        if (projects_)
            pack(weights.projection, nullptr, units_, second_order, outputs_, outputs_,
                 second_weights_);
        else if (two_products)
            pack(weights.hidden, call_.weight_mask, units_, second_order, units_, units_,
                 second_weights_);
        for (int i = 0; i < product_count_; ++i) {
            const WeightSums& of = products_[i];
            const Index rows = of.blocks * of.block_rows, first = rows * part / parts;
            clear(of.sums + first * of.stride, (rows * (part + 1) / parts - first) * of.stride);
        }
        const Index sums = Cell::slots * units_;
        clear(bias_ + sums * part / parts, sums * (part + 1) / parts - sums * part / parts);
        if (normalises_ && part == 0) {
            in_slots(weights.input_gain, Cell::input_order, input_gain_);
            in_slots(weights.hidden_gain, Cell::hidden_order, hidden_gain_);
            clear(input_gain_sums_, depth_);
            clear(hidden_gain_sums_, depth_);
            if (Cell::has_cell) clear(cell_gain_sums_, 2 * units_);
        }
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), b = schedule_.order[rank];
            T* grad_hidden = grad_hidden_ + rank * state_panels_ * W;
            clear(grad_hidden + share.first_panel * W, (share.last_panel - share.first_panel) * W);
            take_units(span_of(share, outputs_), call_.grad_final_hidden, b * outputs_, grad_hidden);
            if constexpr (Cell::has_cell)
                take_units(span_of(share, units_), call_.grad_final_cell, b * units_,
                           grad_cell_ + rank * units_);
        }
    }

    void in_slots(const T* gates, const int* order, T* slots) const {
        for (int gate = 0; gate < Cell::gates; ++gate)
            __builtin_memcpy(slots + gate * units_, gates + order[gate] * units_,
                             units_ * sizeof(T));
    }

    // Packs W transposed: its rows are those of the blocks of the matrix, in the given order.
    static void pack_transposed(const T* matrix, const T* mask, Index columns, const int* order,
                                Index block, Index depth, T* packed, int part, int parts) {
        const Index panels = plain_panels<T>(columns);
        for (Index p = panels * part / parts; p < panels * (part + 1) / parts; ++p)
            for (Index k = 0; k < depth; ++k) {
                const Index row = (order[k / block] * block + k % block) * columns;
                pack_row(matrix + row, mask ? mask + row : nullptr, p * W, columns,
                         packed + (p * depth + k) * W);
            }
    }

    // The share's units of a state of `width` units: all of them, where it has whole rows.
    struct Span {
        Index first, last;
    };
    Span span_of(const Share& share, Index width) const {
        if (!share.splits_units) return {0, width};
        const Index first = share.first_panel * W, last = share.last_panel * W;
        return {first < width ? first : width, last < width ? last : width};
    }

    void take_units(Span span, const T* from, Index at, T* to) const {
        for (Index u = span.first; u < span.last; ++u) to[u] = from ? from[at + u] : 0;
    }

    void steps_back(const Share& share, GradRow<T>* grads, Index first, Index last, Index rows) {
        GATED_TIMED(pointwise);
        for (Index step = last - 1; step >= first; --step) {
            const Index before = schedule_.offsets[step] - schedule_.offsets[first];
            const Index running = share.running(step);
            for (Index r = 0; r < running; ++r)
                grads[r] = row_of(share, share.rank(r), step, before + share.rank(r));
            if (sums_up_first_)
                for (Index r = 0; r < running; ++r)
                    sum_up(share, grads[r], share.rank(r), step, before + share.rank(r));
            if (projects_) multiply_second(share, grad_projected_, outputs_ + line<T>, before, running);
            if (Cell::has_cell && normalises_)
                for (Index r = 0; r < running; ++r)
                    show_cell_back(grads[r], share.rank(r), step, before + share.rank(r));
            const auto [first_unit, last_unit] = span_of(share, units_);
            if constexpr (two_products) {
                step_back<T>(grads, running, first_unit, last_unit, units_,
                             [](const auto&... arguments) __attribute__((always_inline)) {
                                 Cell::begin_back(arguments...);
                             });
                for (Index r = 0; r < running; ++r)
                    clear(grads[r].grad_middle, unit_panels_ * W);
                multiply_second(share, grad_sums_ + Cell::second_gate * units_, width_, before,
                                running);
            }
            step_back<T>(grads, running, first_unit, last_unit, units_,
                         [](const auto&... arguments) __attribute__((always_inline)) {
                             Cell::backward(arguments...);
                         });
            if (normalises_)
                for (Index r = 0; r < running; ++r)
                    normalise_sums_back(share.rank(r), step, before + share.rank(r));
            if (share.leads)
                for (Index r = 0; r < running; ++r)
                    pack_rights(grads[r], share.rank(r), step, before + share.rank(r), rows);
            if (share.splits_units) team_.barrier();
            multiply_hidden(share, before, running);
            if (zones_out_)
                for (Index r = 0; r < running; ++r) flow_around(share, share.rank(r));
        }
    }

    // Where a sequence's gradients at a step come from and go to; also says what the products of
    // the run need of it.
    GradRow<T> row_of(const Share& share, Index rank, Index step, Index row_of_run) {
        const Index t = time_of(call_, schedule_, rank, step), b = schedule_.order[rank];
        const States<T> before = states_before(call_, schedule_, call_.output, call_.kept.cells,
                                               zeros_, rank, step);
        GradRow<T> row{};
        row.gates = kept_at(rank, step, row_of_run).gates;
        row.hidden_before = row.hidden_read = before.hidden;
        row.grad_output = call_.grad_output.at(t, b);
        row.grad_hidden = row.grad_read = grad_hidden_ + rank * state_panels_ * W;
        row.grad_sums = grad_sums_ + row_of_run * width_;
        if constexpr (Cell::has_cell) {
            row.cell_before = before.cell;
            row.grad_cell = grad_cell_ + rank * units_;
        }
        if (call_.grad_kept.gates)
            row.grad_gates = call_.grad_kept.gates + packed_row(rank, step) * Cell::kept * units_;
        if (middle_) {
            row.middle = middle_ + row_of_run * units_;
            row.grad_middle = grad_middle_ + rank * unit_panels_ * W;
        }
        const T* mask = call_.hidden_mask ? call_.hidden_mask + b * outputs_ : nullptr;
        if (mask) {
            row.grad_read = grad_read_ + rank * state_panels_ * W;
            clear(row.grad_read + share.first_panel * W, (share.last_panel - share.first_panel) * W);
            if constexpr (two_products) row.hidden_read = read_under(mask, row, rank);
        }
        if (share.leads)
            rows_[row_of_run] = {kept_at(rank, step, row_of_run).normalised,
                                 call_.grad_input.data ? call_.grad_input.at(t, b) : nullptr};
        return row;
    }

    // Packs what the products that sum the weights' gradients take on their right.
    void pack_rights(const GradRow<T>& row, Index rank, Index step, Index row_of_run, Index rows) {
        GATED_TIMED(copying);
        const Index t = time_of(call_, schedule_, rank, step), b = schedule_.order[rank];
        const T* mask = call_.hidden_mask ? call_.hidden_mask + b * outputs_ : nullptr;
        for (int i = 0; i < product_count_; ++i) {
            const WeightSums& of = products_[i];
            const T* right = of.right == Right::input    ? call_.input.at(t, b)
                             : of.right == Right::hidden ? row.hidden_before
                                                         : row.middle;
            for (Index p = 0; p < of.panels; ++p)
                pack_row(right, of.right == Right::hidden ? mask : nullptr, p * W, of.columns,
                         of.packed + (p * rows + row_of_run) * W);
        }
    }

    // The hidden state before, as products read it under the mask.
    const T* read_under(const T* mask, const GradRow<T>& row, Index rank) {
        T* read = hidden_read_ + rank * units_;
        for (Index u = 0; u < units_; ++u) read[u] = mask[u] * row.hidden_before[u];
        return read;
    }

    // Puts the gradients of a step's states together; of those, what zoneout kept flows around the
    // step, and what is projected comes to the cell through the projection.
    void sum_up(const Share& share, GradRow<T>& row, Index rank, Index step, Index row_of_run) {
        const auto [first, last] = span_of(share, outputs_);
        const auto [first_unit, last_unit] = span_of(share, units_);
        for (Index u = first; u < last; ++u) row.grad_hidden[u] += row.grad_output[u];
        row.grad_output = zeros_;
        if (Cell::has_cell && call_.grad_kept.cells) {
            const T* grads = call_.grad_kept.cells + packed_row(rank, step) * units_;
            for (Index u = first_unit; u < last_unit; ++u) row.grad_cell[u] += grads[u];
        }
        if (zones_out_) {
            const Index t = time_of(call_, schedule_, rank, step), b = schedule_.order[rank];
            T* around = around_of(rank);
            T* kept = around + outputs_ + units_;
            kept_by_zoneout(call_.zoneout, 0, t, b, first, last, kept);
            zone_out_back(kept, first, last, row.grad_hidden, around);
            if constexpr (Cell::has_cell) {
                kept_by_zoneout(call_.zoneout, 1, t, b, first_unit, last_unit, kept);
                zone_out_back(kept, first_unit, last_unit, row.grad_cell, around + outputs_);
            }
        }
        if (projects_) {
            T* projected = grad_projected_ + row_of_run * (outputs_ + line<T>);
            __builtin_memcpy(projected, row.grad_hidden, outputs_ * sizeof(T));
            clear(row.grad_hidden, outputs_);
            clear(row.grad_middle, unit_panels_ * W);
            row.grad_hidden = row.grad_middle;  // where multiply_second leaves the cell's
        }
    }

    T* around_of(Index rank) const {
        const Index widest = units_ > outputs_ ? units_ : outputs_;
        return around_ + rank * (outputs_ + units_ + widest);
    }

    void flow_around(const Share& share, Index rank) const {
        const T* around = around_of(rank);
        const auto [first, last] = span_of(share, outputs_);
        const auto [first_unit, last_unit] = span_of(share, units_);
        T* grad_hidden = grad_hidden_ + rank * state_panels_ * W;
        for (Index u = first; u < last; ++u) grad_hidden[u] += around[u];
        if constexpr (Cell::has_cell) {
            T* grad_cell = grad_cell_ + rank * units_;
            for (Index u = first_unit; u < last_unit; ++u) grad_cell[u] += around[outputs_ + u];
        }
    }

    void show_cell_back(GradRow<T>& row, Index rank, Index step, Index row_of_run) {
        T* shown = cell_rows_ + row_of_run * 3 * units_;
        if constexpr (Cell::has_cell)
            GATED_TARGET::show_cell_back<Cell>(row, call_.weights.cell_gain, call_.weights.cell_bias,
                                               kept_at(rank, step, row_of_run).scales + 4, units_,
                                               shown, shown + units_, shown + 2 * units_);
        row.shown_cell = shown;
    }

    void normalise_sums_back(Index rank, Index step, Index row_of_run) {
        const Kept<const T> kept = kept_at(rank, step, row_of_run);
        const T* grad = grad_sums_ + row_of_run * width_;
        normalise_back<T>(grad + Cell::input_slot * units_, input_gain_, kept.normalised,
                          kept.scales, Cell::input_spans, units_,
                          grad_raw_input_ + row_of_run * raw_width_);
        normalise_back<T>(grad + Cell::hidden_slot * units_, hidden_gain_,
                          kept.normalised + depth_, kept.scales + 2, Cell::hidden_spans, units_,
                          grad_raw_hidden_ + row_of_run * raw_width_);
    }

    // What a second product gives back to what it took, of the first `running` ranks of the share.
    void multiply_second(const Share& share, const T* grads, Index stride, Index first_row,
                         Index running) {
        GATED_TIMED(hidden_product);
        const EvenRows<T> left{grads + (first_row + share.first) * stride, share.every * stride};
        T* results = grad_middle_ + share.first * unit_panels_ * W;
        for (Index p = 0; p < unit_panels_; ++p)
            multiply<T, V>(running, outputs_, left, second_weights_ + p * W * outputs_,
                           results + p * W, share.every * unit_panels_ * W);
    }

    // The gradient of the hidden states before, of the first `running` ranks of the share.
    void multiply_hidden(const Share& share, Index first_row, Index running) {
        GATED_TIMED(hidden_product);
        const T* grads = normalises_ ? grad_raw_hidden_ : grad_sums_ + Cell::hidden_slot * units_;
        const Index stride = normalises_ ? raw_width_ : width_;
        const EvenRows<T> left{grads + (first_row + share.first) * stride, share.every * stride};
        const Index every = share.every * state_panels_ * W;
        T* results = (grad_read_ ? grad_read_ : grad_hidden_) + share.first * state_panels_ * W;
        for (Index p = share.first_panel; p < share.last_panel; ++p)
            multiply<T, V>(running, hidden_depth_, left, hidden_weights_ + p * W * hidden_depth_,
                           results + p * W, every,
                           come_from_memory<T>(state_panels_ * W * hidden_depth_));
        if (!grad_read_) return;
        const auto [first, last] = span_of(share, outputs_);
        for (Index r = 0; r < running; ++r) {
            const Index rank = share.rank(r);
            const T* mask = call_.hidden_mask + schedule_.order[rank] * outputs_;
            const T* read = grad_read_ + rank * state_panels_ * W;
            T* grad_hidden = grad_hidden_ + rank * state_panels_ * W;
            for (Index u = first; u < last; ++u) grad_hidden[u] += mask[u] * read[u];
        }
    }

    void multiply_inputs(Index rows, int part, int parts) {
        GATED_TIMED(input_product);
        const Index first = rows * part / parts, count = rows * (part + 1) / parts - first;
        const Index stride = normalises_ ? raw_width_ : width_;
        const EvenRows<T> left{(normalises_ ? grad_raw_input_
                                            : grad_sums_ + Cell::input_slot * units_) +
                                   first * stride,
                               stride};
        T* grads = grad_inputs_ + part * rows_at_once_ * W;
        for (Index p = 0; p < input_panels_; ++p) {
            clear(grads, count * W);
            multiply<T, V>(count, depth_, left, input_weights_ + p * W * depth_, grads, W,
                           come_from_memory<T>(input_panels_ * W * depth_));
            const Index real = call_.inputs - p * W < W ? call_.inputs - p * W : W;
            for (Index r = 0; r < count; ++r)
                __builtin_memcpy(rows_[first + r].grad_input + p * W, grads + r * W,
                                 real * sizeof(T));
        }
    }

    // Each part takes as many panels of tall blocks of the matrices, and some of the biases.
    void sum_weights(Index rows, int part, int parts) {
        GATED_TIMED(weight_gradient);
        Index jobs = 0;
        for (int i = 0; i < product_count_; ++i) jobs += products_[i].jobs();
        const Index begin = jobs * part / parts, end = jobs * (part + 1) / parts;
        Index job = 0;  // the first of the block at hand
        for (int i = 0; i < product_count_; ++i) {
            const WeightSums& of = products_[i];
            for (Index block = 0; block < of.blocks * of.cuts; ++block, job += of.panels) {
                const Index first = begin > job ? begin - job : 0;
                const Index last = end - job < of.panels ? end - job : of.panels;
                if (first < last)
                    sum_block(of, block, first, last, rows, left_ + part * rows_at_once_ * tallest);
            }
        }
        const Index sums = Cell::slots * units_;
        add_rows(grad_sums_, width_, nullptr, 0, rows, sums, part, parts, bias_);
        if (normalises_) sum_gains(rows, part, parts);
    }

    // Adds what the run's rows give to a block of a matrix, for panels `first` to `last` - 1. The left
    // is copied first: where its rows lie pages apart, each value read would be a page.
    void sum_block(const WeightSums& of, Index block, Index first, Index last, Index rows, T* left) {
        GATED_TIMED(copying);
        const Index gate = block / of.cuts, cut = block % of.cuts;
        const Index unit = of.block_rows * cut / of.cuts;
        const Index height = of.block_rows * (cut + 1) / of.cuts - unit;
        const T* from = of.left + gate * of.block_rows + unit;
        for (Index r = 0; r < rows; ++r)
            __builtin_memcpy(left + r * height, from + r * of.left_stride, height * sizeof(T));
        GATED_TIMED(weight_gradient);
        T* sums = of.sums + (of.order[gate] * of.block_rows + unit) * of.stride;
        for (Index p = first; p < last; ++p)
            multiply<T, V>(height, rows, DownColumns<T>{left, height}, of.packed + p * rows * W,
                           sums + p * W, of.stride);
    }

    // sums[u] += Σ_r rows[r][u] (· factors[r][u]), for a part of `count` units.
    static void add_rows(const T* rows, Index stride, const T* factors, Index factor_stride,
                         Index row_count, Index count, int part, int parts, T* sums) {
        const Index first = count * part / parts, last = count * (part + 1) / parts;
        for (Index r = 0; r < row_count; ++r)
            if (factors)
                for (Index u = first; u < last; ++u)
                    sums[u] += rows[r * stride + u] * factors[r * factor_stride + u];
            else
                for (Index u = first; u < last; ++u) sums[u] += rows[r * stride + u];
    }

    void sum_gains(Index rows, int part, int parts) {
        for (Index r = 0; r < rows; ++r) {
            const T *grad = grad_sums_ + r * width_, *normalised = rows_[r].normalised;
            add_rows(grad + Cell::input_slot * units_, 0, normalised, 0, 1, depth_, part, parts,
                     input_gain_sums_);
            add_rows(grad + Cell::hidden_slot * units_, 0, normalised + depth_, 0, 1, depth_, part,
                     parts, hidden_gain_sums_);
        }
        if (!Cell::has_cell) return;
        const T *normalised = cell_rows_ + units_, *grad = cell_rows_ + 2 * units_;
        add_rows(grad, 3 * units_, normalised, 3 * units_, rows, units_, part, parts,
                 cell_gain_sums_);
        add_rows(grad, 3 * units_, nullptr, 0, rows, units_, part, parts, cell_gain_sums_ + units_);
    }

    void finish(const Share& share, int part, int parts) {
        GATED_TIMED(copying);
        for (int i = 0; i < product_count_; ++i) {
            const WeightSums& of = products_[i];
            const Index rows = of.blocks * of.block_rows;
            if (of.result != of.sums)
                for (Index row = rows * part / parts; row < rows * (part + 1) / parts; ++row)
                    __builtin_memcpy(of.result + row * of.columns, of.sums + row * of.stride,
                                     of.columns * sizeof(T));
        }
        if (call_.weight_mask && call_.grad_weights.hidden) {
            team_.barrier();
            const Index count = depth_ * outputs_;
            for (Index i = count * part / parts; i < count * (part + 1) / parts; ++i)
                call_.grad_weights.hidden[i] *= call_.weight_mask[i];
        }
        if (part == 0) give_vectors();
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), b = schedule_.order[rank];
            give_units(span_of(share, outputs_), grad_hidden_ + rank * state_panels_ * W,
                       call_.grad_initial_hidden, b * outputs_);
            if constexpr (Cell::has_cell)
                give_units(span_of(share, units_), grad_cell_ + rank * units_,
                           call_.grad_initial_cell, b * units_);
            if (call_.grad_input.data && share.leads)
                for (Index t = schedule_.lengths[rank]; t < call_.steps; ++t)
                    clear(call_.grad_input.at(t, b), call_.inputs);
        }
    }

    void give_vectors() const {
        const Weights<T>& grads = call_.grad_weights;
        give_gates(bias_ + Cell::input_slot * units_, Cell::input_order, grads.input_bias);
        give_gates(bias_ + Cell::hidden_slot * units_, Cell::hidden_order, grads.hidden_bias);
        if (!normalises_) return;
        give_gates(input_gain_sums_, Cell::input_order, grads.input_gain);
        give_gates(hidden_gain_sums_, Cell::hidden_order, grads.hidden_gain);
        if (!Cell::has_cell) return;
        give_units({0, units_}, cell_gain_sums_, grads.cell_gain, 0);
        give_units({0, units_}, cell_gain_sums_ + units_, grads.cell_bias, 0);
    }

    void give_gates(const T* slots, const int* order, T* result) const {
        if (!result) return;
        for (int gate = 0; gate < Cell::gates; ++gate)
            __builtin_memcpy(result + order[gate] * units_, slots + gate * units_,
                             units_ * sizeof(T));
    }

    static void give_units(Span span, const T* from, T* to, Index at) {
        if (!to) return;
        for (Index u = span.first; u < span.last; ++u) to[at + u] = from[u];
    }
};

}  // namespace gated::GATED_TARGET
