// The way back through time, for any cell.
//
// A run of steps at a time: first step by step the gradients of the cell's sums, since each step
// needs the one after it; then, at one go and shared out anew, what follows from the run's sums:
// the gradients of the input and of the weights. Weights sum over the rows of a run in the order of
// the rows, whoever does it, so that results do not depend on the number of threads.
#pragma once

#include <optional>

#include "forward.h"

namespace gated::GATED_TARGET {

template <class T>
class BackwardRun {
    static constexpr Index L = lanes<T>;
    static constexpr int V = plain_vectors;
    static constexpr Index W = plain_width<T>;

public:
    BackwardRun(const Backward<T>& call, const Schedule& schedule, Team& team)
        : call_(call), schedule_(schedule), team_(team), cell_(*call.cell),
          plan_(reads_kept(call) ? cell_.backward_of_gates : cell_.backward), places_(plan_, call),
          cut_(call.units), constants_(constants_of<T>(plan_, call)),
          scalars_(scalars_of<T>(call)), rows_at_once_(rows_at_once()), pairs_(pairs_in_use()) {
        const Index sequences = call.sequences;
        zeros_ = take<T>(widest<T>(call));
        clear(zeros_, widest<T>(call));
        for (const Width state : cell_.states) {
            grad_offsets_.push_back(grad_width_);
            grad_width_ += Cut<T>(call.of(state)).padded();
        }
        grad_width_ += line<T>;
        slots_ = take<T>(rows_at_once_ * places_.width());
        grad_states_ = take<T>(2 * sequences * grad_width_);
        rows_ = take<Row<T>>(team.size() * sequences);
        operands_ = take<T*>(team.size() * sequences * places_.operands());
        registers_ = take<T>(team.size() * registers_of<T>(plan_));
        stages_.resize(plan_.stages.size());
        for (std::size_t i = 0; i < plan_.stages.size(); ++i)
            pack_products(plan_.stages[i].products, stages_[i], call.steps);
        if (call.grad_input.data) {
            const bool at_one_go = schedule.offsets.back() <= rows_at_once_;
            pack_products(plan_.with_input, with_input_, at_one_go ? 1 : call.steps);
            grad_inputs_ = take<T>(team.size() * rows_at_once_ * W);
            to_inputs_ = take<T*>(rows_at_once_);
            if (call.grad_input.is_narrow) {
                to_narrow_ = take<Narrow*>(rows_at_once_);
                wide_inputs_ = take<T>(rows_at_once_ * call.inputs);
            }
        }
        left_ = take<T>(team.size() * left_size());
        take_wide();
        take_rounded();
        vector_sums_ = take<T>(places_.width());
        vector_spans_ = wanted_spans();
        step_sums_ = take<T>(sequences * places_.sums_width());
        name_sums();
        if (!call.kept.values && !cell_.training.kept.empty()) take_replay();
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<BackwardRun*>(self)->run_part(part); },
                  this);
    }

private:
    // The gradient of blocks of a weight matrix, summed over the runs in panels of columns.
    struct WeightSums {
        const Summed* of;
        T* sums;           // of the matrix, (blocks·height, stride)
        Index height, columns, stride, panels;
        int cuts;          // of a block, so that a part of it stays in the second cache
        int heads;         // of the matrix; a cut lies in one of them
        int round;         // after others that add to the same blocks
        bool first;        // of all that add to the matrix, so that nothing need be there before
        T* packed;         // (heads, panels, rows of the run, W), what the blocks multiplied

        Index jobs() const { return Index(of->blocks.size()) * cuts * panels; }
    };
    // A matrix whose gradient is wanted; its last panel of columns is filled up in `sums`.
    struct MatrixSums {
        T *result, *sums;
        Index rows, columns, stride;
        bool cleared;  // there are blocks that no first sums write
    };
    // Units or values that lie side by side, up to `last` - 1.
    struct Span {
        Index first, last;
    };
    static constexpr Index tallest = 128;

    const Backward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Cell& cell_;
    const Plan& plan_;
    const Places<T> places_;
    const Cut<T> cut_;  // of the hidden units
    const std::vector<T> constants_, scalars_;
    const Index rows_at_once_;
    const Pairs pairs_;  // what rounds to narrow numbers
    std::vector<Index> grad_offsets_;  // of each state
    Index grad_width_ = 0;
    std::vector<std::vector<PackedTransposed<T>>> stages_;
    std::vector<PackedTransposed<T>> with_input_;
    T *zeros_, *slots_;            // slots_ (rows_at_once_, width)
    T* grad_states_;               // (2, ranks, grad_width_): after even steps and after odd ones
    T *grad_inputs_ = nullptr, *registers_, *left_, *vector_sums_;
    T* step_sums_;  // (ranks, sums_width)
    T **operands_, **to_inputs_ = nullptr;
    Narrow** to_narrow_ = nullptr;  // where the gradients of the input go that to_inputs_ collects
    T* wide_inputs_ = nullptr;      // (rows_at_once_, inputs), these
    Row<T>* rows_;
    std::vector<WeightSums> sums_;
    std::vector<MatrixSums> matrices_;
    std::vector<Span> vector_spans_;  // of a row of slots
    int rounds_ = 0;

    // Of a row at a step, what is widened because the forward pass or the caller left it narrow: each
    // at its place behind the row's values that were kept.
    struct Wide {
        std::vector<Index> before, after;  // of each state
        Index input = 0, grad_output = 0, width = 0;
        T* rows = nullptr;  // (parts where these share out units, ranks, width)
    } wide_;

    // Of products of pairs: the gradients that they take, rounded, of so many rows for each part.
    struct Rounded {
        std::int32_t* words = nullptr;
        Index rows = 0, width = 0;
    } rounded_;
    Pairing pairing_of_sums_;  // of the gradients of the weights

    // Of recomputation: the forward pass again, and what it keeps of the run in hand.
    Forward<T> again_{};
    std::optional<ForwardRun<T>> replay_;
    T* replayed_ = nullptr;

    static bool reads_kept(const Backward<T>& call) {
        bool reads = call.grad_kept.values;
        for (const T* history : call.grad_kept.history) reads |= history != nullptr;
        return reads;
    }

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    static void clear(T* data, Index count) {
        if (count > 0) __builtin_memset(data, 0, count * sizeof(T));
    }

    void pack_products(const std::vector<Product>& products,
                       std::vector<PackedTransposed<T>>& packed, Index times) {
        for (const Product& product : products) {
            const int heads = cell_.matrices[product.matrix].heads;
            const std::size_t first = packed.size();
            if (heads == 1) packed.emplace_back(call_, product, schedule_.offsets.back());
            for (int i = 0; heads > 1 && i < heads * int(product.blocks.size()); ++i)
                packed.emplace_back(call_, product, i / heads, i % heads);
            for (std::size_t i = first; i < packed.size(); ++i)
                if (packed[i].is_worth_packing(times))
                    packed[i].lies_at(team_.scratch(packed[i].bytes()));
        }
    }

    void take_wide() {
        if (!(call_.input.is_narrow || call_.output.is_narrow || call_.kept.is_narrow ||
              call_.grad_output.is_narrow))
            return;
        wide_.width = places_.kept_width();
        const auto behind = [&](Index width) {
            wide_.width += width;
            return wide_.width - width;
        };
        for (const Width state : cell_.states) {
            wide_.before.push_back(behind(call_.of(state)));
            wide_.after.push_back(behind(call_.of(state)));
        }
        wide_.input = behind(call_.inputs);
        wide_.grad_output = behind(call_.of(cell_.states[0]));
        const Share any(call_, schedule_, team_, 0, cut_.count, !plan_.can_split);
        wide_.rows =
            take<T>((any.splits_units ? team_.size() : 1) * call_.sequences * wide_.width);
    }

    // Whether the weights' gradients are sums of products of pairs.
    bool sums_pairs() const { return pairing_of_sums_.is_used; }

    // What the left of a block of a weight matrix takes: in pairs, whole lines for each unit, and rests.
    Index left_size() const {
        const Index in_pairs = 2 * lines_of_pairs(rows_at_once_);
        return (rows_at_once_ < in_pairs ? in_pairs : rows_at_once_) * tallest;
    }
    // What so many rows of a panel on their right take.
    Index right_size(Index rows) const { return (pairing_of_sums_.has_rests ? rows + rows % 2 : rows) * W; }

    void take_rounded() {
        if (schedule_.offsets.back() > PackedTransposed<T>::few_rows)
            pairing_of_sums_ = pairing_of(call_.format);
        const auto at_least = [&](Index words) {
            if (words > rounded_.width) rounded_.width = words;
        };
        for (const auto& stage : stages_)
            for (const auto& product : stage) at_least(product.rounded());
        Index words = 0;
        for (const auto& product : with_input_) words += product.rounded();
        at_least(words);
        if (rounded_.width == 0) return;
        const Index parts = team_.size();
        const Share any(call_, schedule_, team_, 0, cut_.count, !plan_.can_split);
        const Index ranks = any.splits_units ? call_.sequences : any.ranks();
        rounded_.rows = (rows_at_once_ + parts - 1) / parts;
        if (ranks > rounded_.rows) rounded_.rows = ranks;
        rounded_.words = take<std::int32_t>(parts * rounded_.rows * rounded_.width);
    }
    std::int32_t* rounded_of(int part) const {
        return rounded_.words + part * rounded_.rows * rounded_.width;
    }

    // Whole steps, and enough rows for the products with the weights to be worth their sums.
    Index rows_at_once() const {
        Index rows = places_.width() * Index(sizeof(T)) < 8192 ? 256 : 512;
        if (rows < call_.sequences) rows = call_.sequences;
        const Index all = schedule_.offsets.back();
        return rows < all ? rows : all;
    }

    Index longest() const { return schedule_.order.empty() ? 0 : schedule_.lengths[0]; }

    void take_replay() {
        static_cast<Layer<T>&>(again_) = call_;
        // Replaying reads these alone.
        again_.output = {const_cast<T*>(call_.output.data), call_.output.step, call_.output.sequence,
                         call_.output.packed, call_.output.is_narrow};
        again_.kept.is_narrow = call_.kept.is_narrow;
        for (const T* history : call_.kept.history)
            again_.kept.history.push_back(const_cast<T*>(history));
        replayed_ = take<T>(rows_at_once_ * places_.kept_width());
        replay_.emplace(again_, schedule_, team_, team_.size(), cell_.training);
    }

    // The place of a rank's step in what was kept.
    Index packed_row(Index rank, Index time) const { return schedule_.offsets[time] + rank; }

    void name_sums() {
        for (std::size_t m = 0; m < cell_.matrices.size(); ++m) {
            const MatrixShape& shape = cell_.matrices[m];
            T* result = call_.grad_matrices[m].weight;
            const Index rows = shape.blocks * call_.of(shape.rows);
            const Index columns = call_.of(shape.columns) / shape.heads;
            const Index stride = columns % W ? plain_panels<T>(columns) * W : columns;
            matrices_.push_back({result, result, rows, columns, stride, false});
            if (result && stride != columns) matrices_.back().sums = take<T>(rows * stride);
        }
        for (const Summed& of : plan_.summed) {
            const MatrixSums& matrix = matrices_[of.matrix];
            if (!matrix.result) continue;
            const Index height = call_.of(cell_.matrices[of.matrix].rows);
            int round = 0;
            for (const WeightSums& earlier : sums_)
                if (earlier.of->matrix == of.matrix && share_a_block(*earlier.of, of) &&
                    earlier.round >= round)
                    round = earlier.round + 1;
            if (round >= rounds_) rounds_ = round + 1;
            const Index panels = plain_panels<T>(matrix.columns);
            const int heads = cell_.matrices[of.matrix].heads;
            sums_.push_back({&of, matrix.sums, height, matrix.columns, matrix.stride, panels,
                             heads * int((height / heads + tallest - 1) / tallest), heads, round,
                             round == 0, take<T>(heads * panels * (rows_at_once_ + 1) * W)});
        }
        for (std::size_t m = 0; m < matrices_.size(); ++m) {
            int written = 0;
            for (const WeightSums& of : sums_)
                if (of.of->matrix == int(m) && of.first) written += int(of.of->blocks.size());
            matrices_[m].cleared = longest() == 0 || written < cell_.matrices[m].blocks;
            if (matrices_[m].cleared)
                for (WeightSums& of : sums_)
                    if (of.of->matrix == int(m)) of.first = false;
        }
    }

    static bool share_a_block(const Summed& a, const Summed& b) {
        for (const int one : a.blocks)
            for (const int other : b.blocks)
                if (one == other) return true;
        return false;
    }

    void run_part(int part) {
        const int parts = team_.size();
        const Share share(call_, schedule_, team_, part, cut_.count, !plan_.can_split);
        start(share, part, parts);
        Row<T>* rows_of = rows_ + part * call_.sequences;
        for (Index r = 0; r < share.ranks(); ++r)
            begin_row(rows_of[r], share.rank(r), operands_ + (part * call_.sequences + r) * places_.operands());
        if (replay_) replay_->prepare(part);
        team_.barrier();
        for (Index last = longest(); last > 0;) {
            Index first = last, rows = 0;
            while (first > 0 && rows + schedule_.running(first - 1) <= rows_at_once_)
                rows += schedule_.running(--first);
            if (replay_) {
                replay_->replay(part, first, last, replayed_);
                team_.barrier();
            }
            Tiles tiles;
            steps_back(share, part, first, last, rows, tiles);
            team_.barrier();
            if (sums_pairs()) {
                pair_rights(rows, part, parts, left_ + part * left_size());
                team_.barrier();
            }
            if (call_.grad_input.data) give_inputs(rows, part, parts, tiles);
            sum_weights(rows, part, parts, last == longest(), tiles);
            team_.barrier();
            last = first;
        }
        finish(share, part, parts);
    }

    // Packs the weights, clears the sums and takes the gradients of the final states.
    void start(const Share& share, int part, int parts) {
        GATED_TIMED(packing);
        for (const auto& stage : stages_)
            for (const auto& product : stage) product.pack(part, parts);
        for (const auto& product : with_input_) product.pack(part, parts);
        for (const MatrixSums& of : matrices_) {
            if (!of.result || !of.cleared) continue;
            const Index first = of.rows * part / parts;
            clear(of.sums + first * of.stride,
                  (of.rows * (part + 1) / parts - first) * of.stride);
        }
        const Index width = places_.width(), all = rows_at_once_ * width;
        clear(vector_sums_ + width * part / parts,
              width * (part + 1) / parts - width * part / parts);
        const Index sums = call_.sequences * places_.sums_width();
        clear(step_sums_ + sums * part / parts, sums * (part + 1) / parts - sums * part / parts);
        clear(slots_ + all * part / parts, all * (part + 1) / parts - all * part / parts);
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), b = schedule_.order[rank];
            for (std::size_t k = 0; k < cell_.states.size(); ++k) {
                const Index units = call_.of(cell_.states[k]);
                const auto [first, last] = span_of(share, units);
                const T* from = call_.grad_final[k];
                T* to = grad_of(int(k), rank, schedule_.lengths[rank]);
                T* other = grad_of(int(k), rank, schedule_.lengths[rank] + 1);
                for (Index u = first; u < last; ++u) to[u] = from ? from[b * units + u] : 0;
                for (Index u = first; u < last; ++u) other[u] = 0;
                if (last == units)
                    for (Index u = units; u < Cut<T>(units).padded(); ++u) to[u] = other[u] = 0;
            }
        }
    }

    // The gradient of a state before step `step`, which is after the one before.
    T* grad_of(int state, Index rank, Index step) const {
        return grad_states_ + ((step & 1) * call_.sequences + rank) * grad_width_ +
               grad_offsets_[state];
    }

    // The share's units of a state of `width` units: all of them, where it has whole rows.
    Span span_of(const Share& share, Index width) const {
        if (!share.splits_units) return {0, width};
        if (share.last_panel == share.first_panel) return {0, 0};
        return {cut_.first(share.first_panel), cut_.end(share.last_panel - 1)};
    }

    void steps_back(const Share& share, int part, Index first, Index last, Index rows, Tiles& tiles) {
        Row<T>* rows_of = rows_ + part * call_.sequences;
        T* registers = registers_ + part * registers_of<T>(plan_);
        for (Index step = last - 1; step >= first; --step) {
            const Index before = schedule_.offsets[step] - schedule_.offsets[first];
            const Index running = share.running(step);
            for (Index r = 0; r < running; ++r) {
                locate(share, part, rows_of[r], share.rank(r), step, before + share.rank(r));
                if (to_inputs_ && share.leads) place_input(rows_of[r], before + share.rank(r));
            }
            for (std::size_t i = 0; i < stages_.size(); ++i) {
                int cleared = -1;  // products with one target follow each other
                for (const auto& product : stages_[i]) {
                    multiply(share, part, product, before, running, step,
                             product.target() != cleared, tiles);
                    cleared = product.target();
                }
                {
                    GATED_TIMED(pointwise);
                    run_segments(plan_.stages[i], 0, places_, rows_of, running, call_.zoneout,
                                 registers, i == 0, [&](const Segment& segment) {
                                     return span_of(share, call_.of(segment.width));
                                 });
                }
                if (share.splits_units && i + 1 < stages_.size()) team_.barrier();
            }
            for (Index r = 0; r < running; ++r) {
                if (share.leads) pack_rights(rows_of[r], before + share.rank(r), rows);
                give_per_step(share, rows_of[r], before + share.rank(r));
            }
        }
    }

    // Says where the operands of a sequence are that lie where they lie at all steps.
    void begin_row(Row<T>& row, Index rank, T** operands) {
        row.at = operands;
        row.sequence = schedule_.order[rank];
        put_fixed(places_, call_, constants_, scalars_, row.sequence, row.at);
        places_.put(row.at, Base::grad_sum, step_sums_ + rank * places_.sums_width());
    }

    // Says where the gradient of a row's input goes.
    void place_input(const Row<T>& row, Index row_of_run) {
        if (to_narrow_) {
            to_narrow_[row_of_run] = call_.grad_input.narrow_at(row.time, row.sequence);
            to_inputs_[row_of_run] = wide_inputs_ + row_of_run * call_.inputs;
        } else {
            to_inputs_[row_of_run] = call_.grad_input.at(row.time, row.sequence);
        }
    }

    // What the forward pass has kept of a row.
    const T* kept_of(const Share& share, Index packed, Index row_of_run, T* wide) const {
        const Index width = places_.kept_width();
        if (replay_) return replayed_ + row_of_run * width;
        const T* kept = call_.kept.values + packed * width;
        if (!call_.kept.is_narrow) return kept;
        const Narrow* narrow = narrow_in(call_.kept.values) + packed * width;
        if (share.leads) {  // which takes whole rows for the gradients of the weights
            widen_row(narrow, width, wide);
            return wide;
        }
        const auto [first, last] = span_of(share, call_.units);
        for (Index array = 0; array < width; array += call_.units)
            widen_row(narrow + array + first, last - first, wide + array + first);
        return wide;
    }

    // Says where the others are at a step.
    void locate(const Share& share, int part, Row<T>& row, Index rank, Index step,
                Index row_of_run) {
        GATED_TIMED(copying);
        const Index t = time_of(call_, schedule_, rank, step), b = row.sequence;
        const Index packed = packed_row(rank, t);
        const Index wide_row = (share.splits_units ? part * call_.sequences : 0) + rank;
        T* wide = wide_.rows + wide_row * wide_.width;
        row.time = t;
        T* slots = slots_ + row_of_run * places_.width();
        places_.put(row.at, Base::slot, slots);
        places_.put(row.at, Base::kept, kept_of(share, packed, row_of_run, wide));
        places_.put(row.at, Base::grad_kept,
                    call_.grad_kept.values + packed * places_.kept_width());
        places_.put_each(row.at, Base::input, [&](int) {
            return read(call_.input, t, b, call_.inputs, wide + wide_.input);
        });
        places_.put_each(row.at, Base::before, [&](int k) {
            return state_before(call_, schedule_, call_.output, call_.kept, zeros_, k, rank, step,
                                wide_.rows ? wide + wide_.before[k] : nullptr);
        });
        places_.put_each(row.at, Base::after, [&](int k) {
            return state_before(call_, schedule_, call_.output, call_.kept, zeros_, k, rank, step + 1,
                                wide_.rows ? wide + wide_.after[k] : nullptr);
        });
        places_.put_each(row.at, Base::grad_output, [&](int) {
            return read(call_.grad_output, t, b, call_.of(cell_.states[0]), wide + wide_.grad_output);
        });
        places_.put_each(row.at, Base::grad_after, [&](int k) { return grad_of(k, rank, step + 1); });
        places_.put_each(row.at, Base::grad_before, [&](int k) { return grad_of(k, rank, step); });
        places_.put_each(row.at, Base::grad_history, [&](int k) {
            return call_.grad_kept.history[k] + packed * call_.of(cell_.states[k]);
        });
        places_.put_each(row.at, Base::per_step, [&](int i) { return per_step_at(call_, i, t, b); });
        for (const auto& of : plan_.per_step)
            store(slots + places_.slot(of[0]), broadcast<T>(*per_step_at(call_, of[1], t, b)));
    }

    // Adds what gradients of blocks give back, for the first `running` ranks of the share.
    void multiply(const Share& share, int part, const PackedTransposed<T>& product, Index first_row,
                  Index running, Index step, bool begins, Tiles& tiles) {
        GATED_TIMED(hidden_product);
        const Index width = places_.width();
        T* rows = slots_ + (first_row + share.first) * width;
        const EvenRows<T> grads{rows + places_.offsets()[product.source()] + product.from(),
                                share.every * width};
        const Operand& target = plan_.operands[product.target()];
        const bool to_state = target.base == Base::grad_before;
        if (to_state && step == 0 && !call_.grad_initial[target.index]) return;  // nobody asks
        T* results = to_state ? grad_of(target.index, share.first, step)
                              : rows + places_.offsets()[product.target()];
        const Index stride = share.every * (to_state ? grad_width_ : width);
        const Index begin = share.splits_units ? share.first_panel : 0;
        const Index end = share.splits_units ? share.last_panel : product.cut().count;
        if (begins && !to_state) {
            const Cut<T> whole(call_.of(target.width));
            const Index first = share.splits_units ? whole.first(begin) : 0;
            const Index last = share.splits_units ? whole.first(end) : whole.padded();
            for (Index r = 0; r < running; ++r) clear(results + r * stride + first, last - first);
        }
        if (product.reads_along()) {
            if (begin == end) return;
            const Index unit = product.cut().first(begin), last = product.cut().end(end - 1);
            product.add_along(unit, last, running, grads,
                              [&](Index r) { return results + unit + r * stride; });
            return;
        }
        std::int32_t* words = rounded_of(part);
        product.round(running, grads, words);
        for (Index p = begin; p < end; ++p)
            product.add(p, running, grads, words, tiles,
                        results + product.to() + product.cut().first(p), stride);
    }

    // Packs what the products that sum the weights' gradients take on their right.
    void pack_rights(const Row<T>& row, Index row_of_run, Index rows) {
        GATED_TIMED(copying);
        for (const WeightSums& of : sums_)
            for (Index head = 0; head < of.heads; ++head)
                for (Index p = 0; p < of.panels; ++p)
                    pack_row(row.at[of.of->source] + head * of.columns, p * W, of.columns, W,
                             of.packed + (head * of.panels + p) * right_size(rows) + row_of_run * W);
    }

    // Makes pairs of these, where they are, each of two rows of the run.
    void pair_rights(Index rows, int part, int parts, T* copy) {
        GATED_TIMED(copying);
        if constexpr (std::is_same_v<T, float>)
            for (const WeightSums& of : sums_) {
                const Index panels = of.heads * of.panels;
                for (Index p = panels * part / parts; p < panels * (part + 1) / parts; ++p) {
                    T* panel = of.packed + p * right_size(rows);
                    std::int32_t* words = words_in(panel);
                    if (pairing_of_sums_.has_rests) __builtin_memcpy(copy, panel, rows * W * sizeof(T));
                    const T* from = pairing_of_sums_.has_rests ? copy : panel;
                    for (Index r = 0; r < rows; r += 2, words += W) {
                        const T* lower = r + 1 < rows ? from + (r + 1) * W : nullptr;
                        if (pairing_of_sums_.has_rests)
                            pair_rows<Part::rest>(from + r * W, lower, W, words + (rows + 1) / 2 * W);
                        pair_rows(from + r * W, lower, W, words);
                    }
                }
            }
    }
    // Memory of values that has words in it.
    static std::int32_t* words_in(T* memory) { return reinterpret_cast<std::int32_t*>(memory); }

    void give_per_step(const Share& share, const Row<T>& row, Index row_of_run) const {
        for (const auto& of : plan_.grad_per_step) {
            T* to = call_.grad_per_step[of[1]];
            const Index width = call_.of(cell_.per_step[of[1]]);
            const auto [first, last] = span_of(share, width);
            if (!to || first >= last) continue;
            const T* from = slots_ + row_of_run * places_.width() + places_.slot(of[0]);
            __builtin_memcpy(to + (row.time * call_.sequences + row.sequence) * width + first,
                             from + first, (last - first) * sizeof(T));
        }
    }

    void give_inputs(Index rows, int part, int parts, Tiles& tiles) {
        multiply_inputs(rows, part, parts, tiles);
        if (!to_narrow_) return;
        GATED_TIMED(copying);
        for (Index r = rows * part / parts; r < rows * (part + 1) / parts; ++r)
            narrow_row(pairs_, to_inputs_[r], call_.inputs, to_narrow_[r]);
    }

    void multiply_inputs(Index rows, int part, int parts, Tiles& tiles) {
        GATED_TIMED(input_product);
        const Index first = rows * part / parts, count = rows * (part + 1) / parts - first;
        const Index width = places_.width(), inputs = call_.inputs;
        const T* run = slots_ + first * width;
        T* grads = grad_inputs_ + part * rows_at_once_ * W;
        const Cut<T> cut(inputs);
        if (!with_input_.empty() && with_input_[0].reads_along()) {
            for (Index r = 0; r < count; ++r) clear(to_inputs_[first + r], inputs);
            for (const auto& product : with_input_)
                product.add_along(0, inputs, count,
                                  {run + places_.offsets()[product.source()], width},
                                  [&](Index r) { return to_inputs_[first + r]; });
            if (plan_.grad_input >= 0)
                for (Index r = 0; r < count; ++r) {
                    const T* direct = run + r * width + places_.slot(plan_.grad_input);
                    for (Index u = 0; u < inputs; ++u) to_inputs_[first + r][u] += direct[u];
                }
            return;
        }
        std::int32_t* rounded = rounded_of(part);
        const auto grads_of = [&](const PackedTransposed<T>& product) {
            return EvenRows<T>{run + places_.offsets()[product.source()], width};
        };
        for (const auto& product : with_input_) {
            product.round(count, grads_of(product), rounded);
            rounded += count * product.rounded();
        }
        for (Index p = 0; p < cut.count; ++p) {
            const Index unit = cut.first(p), real = cut.end(p) - unit;
            clear(grads, count * W);
            const std::int32_t* words = rounded_of(part);
            for (const auto& product : with_input_) {
                product.add(p, count, grads_of(product), words, tiles, grads, W);
                words += count * product.rounded();
            }
            for (Index r = 0; r < count; ++r) {
                T* to = to_inputs_[first + r] + unit;
                __builtin_memcpy(to, grads + r * W, real * sizeof(T));
                if (plan_.grad_input < 0) continue;
                const T* direct = run + r * width + places_.slot(plan_.grad_input) + unit;
                for (Index u = 0; u < real; ++u) to[u] += direct[u];
            }
        }
    }

    // Each part takes as many panels of tall blocks of the matrices, and some of the vectors.
    void sum_weights(Index rows, int part, int parts, bool first_run, Tiles& tiles) {
        GATED_TIMED(weight_gradient);
        for (int round = 0; round < rounds_; ++round) {
            if (round > 0) team_.barrier();
            Index jobs = 0;
            for (const WeightSums& of : sums_) jobs += of.round == round ? of.jobs() : 0;
            const Index begin = jobs * part / parts, end = jobs * (part + 1) / parts;
            Index job = 0;  // the first of the block at hand
            for (const WeightSums& of : sums_) {
                if (of.round != round) continue;
                const Index blocks = Index(of.of->blocks.size()) * of.cuts;
                for (Index block = 0; block < blocks; ++block, job += of.panels) {
                    const Index first = begin > job ? begin - job : 0;
                    const Index last = end - job < of.panels ? end - job : of.panels;
                    if (first < last)
                        sum_block(of, block, first, last, rows, first_run && of.first,
                                  left_ + part * left_size(), tiles);
                }
            }
        }
        for (Index r = 0; r < rows; ++r) {
            const T* row = slots_ + r * places_.width();
            for (const Span& of : vector_spans_) {
                const Index width = of.last - of.first;
                const Index first = of.first + width * part / parts;
                const Index last = of.first + width * (part + 1) / parts;
                for (Index u = first; u < last; ++u) vector_sums_[u] += row[u];
            }
        }
    }

    // Adds what the run's rows give to a block of a matrix, for panels `first` to `last` - 1. The left
    // is copied first: where its rows lie pages apart, each value read would be a page.
    void sum_block(const WeightSums& of, Index block, Index first, Index last, Index rows,
                   bool is_first, T* left, Tiles& tiles) {
        GATED_TIMED(copying);
        const Index which = block / of.cuts, in_head = of.cuts / of.heads;
        const Index head = block % of.cuts / in_head, cut = block % of.cuts % in_head;
        const Index each = of.height / of.heads, begin = each * cut / in_head;
        const Index unit = head * each + begin, height = each * (cut + 1) / in_head - begin;
        const T* from = slots_ + places_.offsets()[of.of->slots[which]] + unit;
        T* sums = of.sums + (of.of->blocks[which] * of.height + unit) * of.stride;
        if constexpr (std::is_same_v<T, float>)
            if (sums_pairs()) {
                const Index words = (rows + 1) / 2, apart = lines_of_pairs(rows);
                pair_columns(from, rows, height, places_.width(), words_in(left), apart);
                if (pairing_of_sums_.has_rests)
                    pair_columns<Part::rest>(from, rows, height, places_.width(),
                                             words_in(left) + height * apart, apart);
                GATED_TIMED(weight_gradient);
                for (Index p = first; p < last; ++p) {
                    for (Index u = 0; is_first && u < height; ++u) clear(sums + u * of.stride + p * W, W);
                    multiply_pairing(pairing_of_sums_, tiles, V, height, words, words_in(left),
                                     height * apart, apart,
                                     words_in(of.packed + (head * of.panels + p) * right_size(rows)),
                                     words * W, sums + p * W, of.stride);
                }
                return;
            }
        for (Index r = 0; r < rows; ++r)
            __builtin_memcpy(left + r * height, from + r * places_.width(), height * sizeof(T));
        GATED_TIMED(weight_gradient);
        // Sums of few rows take as long as it takes to write them: along the rows of the matrix.
        const Index some = rows > 4 ? height : tile_rows<V>;
        for (Index u = 0; u < height; u += some)
            for (Index p = first; p < last; ++p)
                GATED_TARGET::multiply<T, V>(height - u < some ? height - u : some, rows,
                                             DownColumns<T>{left + u, height},
                                             of.packed + (head * of.panels + p) * rows * W,
                                             sums + u * of.stride + p * W, of.stride,
                                             come_from_afar(rows * of.columns * Index(sizeof(T))),
                                             is_first);
    }

    void finish(const Share& share, int part, int parts) {
        GATED_TIMED(copying);
        for (const MatrixSums& of : matrices_)
            if (of.result != of.sums)
                for (Index row = of.rows * part / parts; row < of.rows * (part + 1) / parts; ++row)
                    __builtin_memcpy(of.result + row * of.columns, of.sums + row * of.stride,
                                     of.columns * sizeof(T));
        if (part == 0) give_vectors();
        for (Index r = 0; r < share.ranks(); ++r) {
            const Index rank = share.rank(r), b = schedule_.order[rank];
            for (std::size_t k = 0; k < cell_.states.size(); ++k) {
                const Index units = call_.of(cell_.states[k]);
                const auto [first, last] = span_of(share, units);
                T* to = call_.grad_initial[k];
                if (to && first < last)
                    __builtin_memcpy(to + b * units + first, grad_of(int(k), rank, 0) + first,
                                     (last - first) * sizeof(T));
            }
            if (!share.leads) continue;
            for (Index t = schedule_.lengths[rank]; t < call_.steps && !call_.packed; ++t) {
                if (call_.grad_input.data) clear_row(call_.grad_input, t, b, 0, call_.inputs);
                for (std::size_t i = 0; i < call_.grad_per_step.size(); ++i) {
                    const Index width = call_.of(cell_.per_step[i]);
                    if (T* to = call_.grad_per_step[i])
                        clear(to + (t * call_.sequences + b) * width, width);
                }
            }
        }
    }

    // Where a vector's gradient goes, null where nobody wants it.
    struct VectorGradient {
        T* to;
        Index count;
    };
    VectorGradient gradient_of(const SlotVector& of) const {
        const Index biases = Index(cell_.matrices.size());
        if (of.array < biases) {
            T* bias = call_.grad_matrices[of.array].bias;
            const Index height = call_.of(cell_.matrices[of.array].rows);
            return {bias ? bias + of.block * height : nullptr, height};
        }
        T* parameter = call_.grad_parameters[of.array - biases];
        const bool is_one = cell_.parameters[of.array - biases] == 0;
        return {parameter ? parameter + of.block * call_.units : nullptr, is_one ? 1 : call_.units};
    }

    // The slots that gradients of vectors are summed from; adjacent ones are one span.
    std::vector<Span> wanted_spans() const {
        std::vector<bool> wanted(plan_.slots.size());
        for (const SlotVector& of : plan_.vectors)
            if (gradient_of(of).to && places_.sum(of.slot) < 0) wanted[of.slot] = true;
        std::vector<Span> spans;
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            if (!wanted[i]) continue;
            const Index first = places_.slot(int(i));
            if (spans.empty() || spans.back().last != first) spans.push_back({first, first});
            spans.back().last = first + Places<T>::padded(call_, plan_.slots[i]);
        }
        return spans;
    }

    // Gradients of biases and parameters; of those that no slot adds to there is none.
    void give_vectors() const {
        for (const SlotVector& of : plan_.vectors) {
            const auto [to, count] = gradient_of(of);
            if (to) clear(to, count);
        }
        for (const SlotVector& of : plan_.vectors) {
            const auto [to, count] = gradient_of(of);
            if (!to) continue;
            const Index sum = places_.sum(of.slot), rows = sum < 0 ? 1 : call_.sequences;
            const T* from = sum < 0 ? vector_sums_ + places_.slot(of.slot) : step_sums_ + sum;
            for (Index r = 0; r < rows; ++r, from += places_.sums_width())
                for (Index u = 0; u < count; ++u) to[u] += from[u];
        }
    }
};

}  // namespace gated::GATED_TARGET
