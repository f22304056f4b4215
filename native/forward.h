// The loop over time, for any cell. The products with the input of a run of steps are one product.
#pragma once

#include "packed.h"
#include "profile.h"
#include "sequence.h"
#include "step.h"

namespace gated::GATED_TARGET {

template <class T>
class ForwardRun {
    static constexpr Index L = lanes<T>;
    static constexpr Index many_times = 1 << 30;
    // Panels whose units go through a segment together.
    static constexpr Index panels_together = 4 / plain_vectors;

public:
    ForwardRun(const Forward<T>& call, const Schedule& schedule, Team& team)
        : ForwardRun(call, schedule, team, team.size(),
                     call.kept.values ? call.cell->training : call.cell->inference, false) {}

    // With room for as many parts as a team may have that repeats the call, or that replays it:
    // then weights are packed, however few rows use them.
    ForwardRun(const Forward<T>& call, const Schedule& schedule, Team& team, int parts,
               const Plan& plan, bool repeats = true)
        : call_(call), schedule_(schedule), team_(team), plan_(plan), places_(plan, call),
          cut_(call.units), constants_(constants_of<T>(plan, call)),
          scalars_(scalars_of<T>(call)), pairs_(pairs_in_use()) {
        const Index sequences = call.sequences, width = places_.width();
        const Index fitting = 262144 / (width * Index(sizeof(T)));  // half a second cache
        rows_at_once_ = fitting < 64 ? 64 : fitting;
        if (rows_at_once_ < sequences) rows_at_once_ = sequences;
        if (rows_at_once_ > schedule.offsets.back() + 1)
            rows_at_once_ = schedule.offsets.back() + 1;
        const Index rows = schedule.offsets.back();
        const Index times = repeats ? many_times : call.steps;
        pack_products(plan.with_input, with_input_, rows,
                      rows > rows_at_once_ || repeats ? times : 1);
        stages_.resize(plan.stages.size());
        Index rounded = rows_at_once_ * rounded_words_of(with_input_);
        for (std::size_t i = 0; i < plan.stages.size(); ++i) {
            pack_products(plan.stages[i].products, stages_[i], sequences, times);
            const Index here = sequences * rounded_words_of(stages_[i]);
            if (here > rounded) rounded = here;
            if (Index(stages_[i].size()) > most_products_) most_products_ = Index(stages_[i].size());
        }
        rounded_size_ = rounded;
        rounded_ = take<std::int32_t>(parts * rounded);
        for (const SlotVector& of : plan.vectors)
            if (places_.slot(of.slot) + padded_slot(of.slot) > started_)
                started_ = places_.slot(of.slot) + padded_slot(of.slot);
        start_ = take<T>(width);
        zeros_ = take<T>(widest<T>(call));
        __builtin_memset(zeros_, 0, widest<T>(call) * sizeof(T));
        for (const Width state : call.cell->states) {
            spare_offsets_.push_back(spare_width_);
            spare_width_ += 2 * call.of(state);
        }
        spare_width_ += call.of(call.cell->states[0]);  // an output that nobody takes as it is
        slots_ = take<T>(parts * rows_at_once_ * width);
        inputs_ = take<const T*>(parts * rows_at_once_);
        if (call.input.is_narrow) wide_inputs_ = take<T>(parts * rows_at_once_ * call.inputs);
        if (call.kept.is_narrow) wide_kept_ = take<T>(sequences * places_.kept_width());
        for (const Width state : call.cell->states) wide_states_width_ += call.of(state);
        if (repeats && (call.kept.is_narrow || call.output.is_narrow))
            wide_states_ = take<T>(parts * sequences * wide_states_width_);
        rows_ = take<Row<T>>(parts * sequences);
        before_ = take<const T*>(parts * sequences * states());
        after_ = take<T*>(parts * sequences * states());
        operands_ = take<T*>(parts * sequences * places_.operands());
        sources_ = take<const T*>(parts * sequences * most_products_);
        spare_ = take<T>(parts * sequences * spare_width_);
        registers_ = take<T>(parts * registers_of<T>(plan));
    }

    void run() {
        team_.run([](void* self, int part) { static_cast<ForwardRun*>(self)->run_part(part); },
                  this);
    }

    // Packs a part's share of the weights; to be followed by a barrier.
    void prepare(int part) {
        GATED_TIMED(packing);
        const int parts = team_.size();
        for (const auto& product : with_input_) product.pack(part, parts);
        for (const auto& stage : stages_)
            for (const auto& product : stage) product.pack(part, parts);
        if (part != 0) return;
        __builtin_memset(start_, 0, places_.width() * sizeof(T));
        for (const SlotVector& of : plan_.vectors) {
            const T* bias = call_.matrices[of.array].bias;
            const Index height = call_.of(call_.cell->matrices[of.array].rows);
            T* to = start_ + places_.slot(of.slot);
            if (bias)
                for (Index u = 0; u < height; ++u) to[u] += bias[of.block * height + u];
        }
    }

    // A part of the whole of a call that was prepared once, again and again, for any team.
    void repeat(Team& team, int part) {
        Tiles tiles;
        Own own = share_of(team, part);
        own.tiles = &tiles;
        if (own.ranks() == 0) return;
        run_steps(own, 0, call_.steps);
        finish(own);
    }

    // Computes a part's steps `first` to `last` - 1 once more, from the states that the pass left
    // in call.output and call.kept.history. `kept` has the rows of these steps alone, in their
    // order.
    void replay(int part, Index first, Index last, T* kept) {
        Tiles tiles;
        Own own = share_of(team_, part);
        own.tiles = &tiles;
        own.replayed = kept;
        own.first_row = schedule_.offsets[first];
        if (own.ranks() > 0) run_steps(own, first, last);
    }

private:
    const Forward<T>& call_;
    const Schedule& schedule_;
    Team& team_;
    const Plan& plan_;
    const Places<T> places_;
    const Cut<T> cut_;  // of the hidden units
    const std::vector<T> constants_, scalars_;
    const Pairs pairs_;  // what rounds to narrow numbers
    Index rows_at_once_, started_ = 0, spare_width_ = 0, rounded_size_ = 0, wide_states_width_ = 0;
    Index most_products_ = 0;
    std::vector<Index> spare_offsets_;  // of each state
    std::vector<PackedProduct<T>> with_input_;
    std::vector<std::vector<PackedProduct<T>>> stages_;
    T *start_, *zeros_, *slots_, *spare_, *registers_;
    T* wide_inputs_ = nullptr;  // (parts, rows_at_once_, inputs)
    T* wide_kept_ = nullptr;    // (ranks, kept_width) of a step
    T* wide_states_ = nullptr;  // (parts, ranks, wide_states_width_) before a step that is replayed
    std::int32_t* rounded_;
    const T **inputs_, **sources_;
    Row<T>* rows_;
    T **operands_, **after_;
    const T** before_;

    // One part's work and scratch memory.
    struct Own : Share {
        T* slots;              // (rows_at_once_, width)
        const T** inputs;      // (rows_at_once_)
        T* wide_inputs;        // (rows_at_once_, inputs), where they are narrow
        T* wide_states;        // (ranks, wide_states_width_), likewise
        Row<T>* rows;          // (ranks)
        const T** before;      // (ranks, states)
        T** after;             // (ranks, states)
        const T** sources;     // (products, ranks) what the products of a stage take
        T* spare;              // (ranks, spare_width_)
        T* registers;
        std::int32_t* rounded;  // vectors that products take in a format of their own
        Tiles* tiles = nullptr;
        T* replayed = nullptr; // what the steps replayed keep
        Index first_row = 0;   // of these steps
    };

    template <class Item>
    Item* take(Index count) {
        return static_cast<Item*>(team_.scratch(count * sizeof(Item)));
    }

    Index padded_slot(int slot) const { return places_.padded(call_, plan_.slots[slot]); }

    void pack_products(const std::vector<Product>& products, std::vector<PackedProduct<T>>& packed,
                       Index rows, Index times) {
        for (const Product& product : products)
            for (int head = 0; head < call_.cell->matrices[product.matrix].heads; ++head) {
                packed.emplace_back(call_, product, head, rows, times);
                if (packed.back().is_worth_packing())
                    packed.back().lies_at(team_.scratch(packed.back().bytes()));
            }
    }

    static Index rounded_words_of(const std::vector<PackedProduct<T>>& products) {
        Index words = 0;
        for (const auto& product : products) words += product.rounded();
        return words;
    }

    Own share_of(Team& team, int part) const {
        const Index sequences = call_.sequences;
        const Share share(call_, schedule_, team, part, cut_.count, !plan_.can_split);
        // Where units are shared out, all parts work on the same rows.
        const Index memory = share.splits_units ? 0 : part;
        Own own{share,
                slots_ + memory * rows_at_once_ * places_.width(),
                inputs_ + part * rows_at_once_,
                wide_inputs_ ? wide_inputs_ + part * rows_at_once_ * call_.inputs : nullptr,
                wide_states_ ? wide_states_ + part * sequences * wide_states_width_ : nullptr,
                rows_ + part * sequences,
                before_ + part * sequences * states(),
                after_ + part * sequences * states(),
                sources_ + part * sequences * most_products_,
                spare_ + memory * sequences * spare_width_,
                registers_ + part * registers_of<T>(plan_),
                rounded_ + part * rounded_size_};
        for (Index r = 0; r < own.ranks(); ++r)
            own.rows[r].at = operands_ + (part * sequences + r) * places_.operands();
        return own;
    }

    void run_part(int part) {
        prepare(part);
        team_.barrier();
        Tiles tiles;
        Own own = share_of(team_, part);
        own.tiles = &tiles;
        if (own.ranks() == 0) return;
        run_steps(own, 0, schedule_.lengths[own.rank(0)]);
        finish(own);
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
            T* slots = own.slots;
            for (Index step = first; step < last; ++step) {
                const Index running = own.running(step);
                locate(own, step, running, slots);
                take_step(own, running, slots);
                slots += running * places_.width();
            }
            first = last;
        }
    }

    // Where the states are before step `step`.
    void start(Own& own, Index step) {
        for (Index r = 0; r < own.ranks(); ++r) {
            Row<T>& row = own.rows[r];
            row.sequence = schedule_.order[own.rank(r)];
            put_fixed(places_, call_, constants_, scalars_, row.sequence, row.at);
            if (step == 0 || own.running(step) > r) look_up(own, r, step);
        }
    }

    void look_up(const Own& own, Index r, Index step) const {
        T* wide = own.wide_states ? own.wide_states + r * wide_states_width_ : nullptr;
        for (Index k = 0; k < states(); ++k) {
            own.before[r * states() + k] = state_before(
                call_, schedule_, call_.output, call_.kept, zeros_, int(k), own.rank(r), step, wide);
            if (wide) wide += call_.of(call_.cell->states[k]);
        }
    }

    // Says where the operands of the running sequences are.
    void locate(Own& own, Index step, Index running, T* slots) {
        GATED_TIMED(copying);
        const T* const* inputs = own.inputs + (slots - own.slots) / places_.width();
        const bool is_hidden = call_.cell->output_is_hidden;
        for (Index r = 0; r < running; ++r, slots += places_.width()) {
            const Index rank = own.rank(r);
            Row<T>& row = own.rows[r];
            row.time = time_of(call_, schedule_, rank, step);
            const Index packed = schedule_.offsets[row.time] + rank;
            if (own.replayed) look_up(own, r, step);
            const T** before = own.before + r * states();
            T** after = own.after + r * states();
            T* spare = own.spare + r * spare_width_;
            const bool takes_output = !own.replayed && !call_.output.is_narrow;
            T* output = takes_output ? call_.output.at(row.time, row.sequence)
                                     : spare + spare_width_ - output_width();
            for (Index k = 0; k < states(); ++k) {
                const Index width = call_.of(call_.cell->states[k]);
                T* in_turn = spare + spare_offsets_[k];
                if (k == 0 && is_hidden && takes_output)
                    after[k] = output;
                else if (!own.replayed && !call_.kept.is_narrow && history_of(k))
                    after[k] = history_of(k) + packed * width;
                else
                    after[k] = before[k] == in_turn ? in_turn + width : in_turn;
            }
            if (is_hidden) output = after[0];
            places_.put(row.at, Base::slot, slots);
            if (own.replayed)
                places_.put(row.at, Base::kept,
                            own.replayed + (schedule_.offsets[step] - own.first_row + rank) *
                                               places_.kept_width());
            else if (call_.kept.values && call_.kept.is_narrow)
                places_.put(row.at, Base::kept, wide_kept_ + rank * places_.kept_width());
            else if (call_.kept.values)
                places_.put(row.at, Base::kept, call_.kept.values + packed * places_.kept_width());
            places_.put_each(row.at, Base::before, [&](int k) { return before[k]; });
            places_.put_each(row.at, Base::after, [&](int k) { return after[k]; });
            places_.put_each(row.at, Base::output, [&](int) { return output; });
            places_.put_each(row.at, Base::input, [&](int) { return inputs[r]; });
            places_.put_each(row.at, Base::per_step, [&](int i) {
                return per_step_at(call_, i, row.time, row.sequence);
            });
            for (const auto& of : plan_.per_step)
                store(slots + places_.slot(of[0]),
                      broadcast<T>(*per_step_at(call_, of[1], row.time, row.sequence)));
        }
    }

    T* history_of(Index state) const {
        return call_.kept.history.empty() ? nullptr : call_.kept.history[state];
    }

    // Rounds what a step has left to where it is narrow.
    void round_step(const Own& own, Index running) const {
        if (own.replayed || !(call_.kept.is_narrow || call_.output.is_narrow)) return;
        GATED_TIMED(copying);
        for (Index r = 0; r < running; ++r) {
            const Index rank = own.rank(r), time = own.rows[r].time;
            const Index packed = schedule_.offsets[time] + rank, kept = places_.kept_width();
            const T* const* after = own.after + r * states();
            if (call_.output.is_narrow)
                round_units(own,
                            call_.cell->output_is_hidden
                                ? after[0]
                                : own.spare + (r + 1) * spare_width_ - output_width(),
                            call_.output.narrow_at(time, own.rows[r].sequence), output_width());
            if (!call_.kept.is_narrow) continue;
            if (call_.kept.values)
                round_units(own, wide_kept_ + rank * kept,
                            narrow_in(call_.kept.values) + packed * kept, kept);
            for (Index k = 0; k < states(); ++k) {
                const Index width = call_.of(call_.cell->states[k]);
                if (history_of(k))
                    round_units(own, after[k], narrow_in(history_of(k)) + packed * width, width);
            }
        }
    }

    // Rounds `count` values. Where the units are shared out, they are of some arrays of units side by
    // side, and each part rounds its own: so none writes over what another has yet to round.
    void round_units(const Own& own, const T* from, Narrow* to, Index count) const {
        if (!own.splits_units) return narrow_row(pairs_, from, count, to);
        const Index first = cut_.first(own.first_panel), last = end_of(own);
        for (Index array = 0; first < last && array < count; array += cut_.units)
            narrow_row(pairs_, from + array + first, last - first, to + array + first);
    }

    void finish(Own& own) {
        GATED_TIMED(copying);
        for (Index r = 0; r < own.ranks(); ++r) {
            const Index rank = own.rank(r), sequence = schedule_.order[rank];
            for (Index k = 0; k < states(); ++k) {
                const Index width = call_.of(call_.cell->states[k]);
                copy_units(own, own.before[r * states() + k],
                           call_.final_states[k] + sequence * width, width);
            }
            for (Index t = schedule_.lengths[rank]; t < call_.steps && !call_.packed; ++t)
                clear_units(own, t, sequence);
        }
    }

    // Copies the part's units of a state of `width` units: all of them, where it has whole rows.
    void copy_units(const Own& own, const T* from, T* to, Index width) const {
        const Index first = own.splits_units ? cut_.first(own.first_panel) : 0;
        const Index last = own.splits_units ? end_of(own) : width;
        if (first < last) __builtin_memmove(to + first, from + first, (last - first) * sizeof(T));
    }
    // Sets the part's units of an output to zero.
    void clear_units(const Own& own, Index t, Index sequence) const {
        clear_row(call_.output, t, sequence, own.splits_units ? cut_.first(own.first_panel) : 0,
                  own.splits_units ? end_of(own) : output_width());
    }

    Index end_of(const Own& own) const {
        return own.last_panel > own.first_panel ? cut_.end(own.last_panel - 1) : 0;
    }

    // The sums of steps `first` to `last` - 1, as far as they do not depend on the states.
    void multiply_inputs(Own& own, Index first, Index last) {
        GATED_TIMED(copying);
        Index count = 0;
        for (Index step = first; step < last; ++step)
            for (Index r = 0; r < own.running(step); ++r, ++count) {
                const Index rank = own.rank(r), t = time_of(call_, schedule_, rank, step);
                T* wide = own.wide_inputs ? own.wide_inputs + count * call_.inputs : nullptr;
                own.inputs[count] =
                    read(call_.input, t, schedule_.order[rank], call_.inputs, wide);
                begin_slots(own, own.slots + count * places_.width());
            }
        for (const auto& product : with_input_) {
            GATED_TIMED(input_product);
            product.round(count, own.inputs, own.rounded);
            const auto [begin, end] = panels_of(own, product);
            for (Index p = begin; p < end; ++p)
                product.add(p, count, own.inputs, own.rounded, *own.tiles, places_.offsets(),
                            own.slots, places_.width());
        }
    }

    // A row's sums before anything is added: the biases.
    void begin_slots(const Own& own, T* row) const {
        if (!own.splits_units) {
            __builtin_memcpy(row, start_, started_ * sizeof(T));
            return;
        }
        const Index first = cut_.first(own.first_panel), each = cut_.padded();
        const Index bytes = (cut_.first(own.last_panel) - first) * Index(sizeof(T));
        for (Index slot = first; slot < started_; slot += each)
            __builtin_memcpy(row + slot, start_ + slot, bytes);
    }

    struct Panels {
        Index begin, end;
    };
    Panels panels_of(const Own& own, const PackedProduct<T>& product) const {
        if (own.splits_units) return {own.first_panel, own.last_panel};
        return {0, product.cut().count};
    }

    // Whether there is but one sequence, however many parts there are.
    bool is_alone() const { return call_.sequences == 1; }

    void take_step(Own& own, Index running, T* slots) {
        for (std::size_t i = 0; i < stages_.size(); ++i) {
            take_stage(own, plan_.stages[i], stages_[i], running, slots);
            if (own.splits_units) own.team.barrier();
        }
        round_step(own, running);
        for (Index r = 0; r < running; ++r)
            for (Index k = 0; k < states(); ++k)
                own.before[r * states() + k] = own.after[r * states() + k];
    }

    void take_stage(Own& own, const Stage& stage, const std::vector<PackedProduct<T>>& products,
                    Index running, T* slots) {
        GATED_TIMED(hidden_product);
        const bool side_by_side = runs_by_panels(stage);
        const T** sources = own.sources;
        std::int32_t* rounded = own.rounded;
        for (const PackedProduct<T>& product : products) {
            for (Index r = 0; r < running; ++r)
                sources[r] = own.rows[r].at[product.source()] + product.from();
            product.round(running, sources, rounded);
            sources += running;
            rounded += running * product.rounded();
        }
        sources = own.sources;
        rounded = own.rounded;
        for (std::size_t i = 0; i < products.size(); ++i) {
            const PackedProduct<T>& product = products[i];
            if (side_by_side && i > 0) break;
            const auto [begin, end] = panels_of(own, product);
            Index ready = begin;  // the first panel of sums that are not used yet
            for (Index p = begin; p < end; ++p) {
                const T** from = sources;
                const std::int32_t* words = rounded;
                for (std::size_t j = i; j < (side_by_side ? products.size() : i + 1); ++j) {
                    products[j].add(p, running, from, words, *own.tiles, places_.offsets(), slots,
                                    places_.width());
                    from += running;
                    words += running * products[j].rounded();
                }
                // While the sums are in the first cache.
                if (!side_by_side || (p + 1 < end && p + 1 - ready < panels_together)) continue;
                run(own, stage.segments[0], running, cut_.first(ready), cut_.end(p));
                ready = p + 1;
            }
            sources += running;
            rounded += running * product.rounded();
        }
        GATED_TIMED(pointwise);
        run_segments(stage, side_by_side ? 1 : 0, places_, own.rows, running, call_.zoneout,
                     own.registers, &stage == &plan_.stages.back(), [&](const Segment& segment) {
                         if (!own.splits_units)
                             return std::pair<Index, Index>(0, call_.of(segment.width));
                         return std::pair<Index, Index>(cut_.first(own.first_panel), end_of(own));
                     });
    }

    // Whether the first segment can follow each panel of the products.
    bool runs_by_panels(const Stage& stage) const {
        if (is_alone() || stage.products.empty() || stage.segments.empty()) return false;
        for (const Product& product : stage.products)
            if (call_.cell->matrices[product.matrix].rows != Width::units ||
                call_.cell->matrices[product.matrix].heads > 1)
                return false;
        return stage.segments[0].width == Width::units && !stage.segments[0].reduces;
    }

    void run(const Own& own, const Segment& segment, Index running, Index first,
             Index last) const {
        GATED_TIMED(pointwise);
        run_segment(segment, places_, own.rows, running, first, last, call_.zoneout,
                    own.registers);
    }

    Index states() const { return Index(call_.cell->states.size()); }
    Index output_width() const { return call_.of(call_.cell->states[0]); }
};

// A layer's step, prepared once: its weights are packed and its memory is there.
template <class T>
class PreparedStep final : public Step {
public:
    PreparedStep(const Forward<T>& call, int parts)
        : call_(call), schedule_(call.steps, call.sequences, nullptr),
          run_(call_, schedule_, memory_, parts, call_.cell->inference) {
        run_.prepare(0);
    }

    void run(Team& team, int part) noexcept override { run_.repeat(team, part); }

private:
    const Forward<T> call_;
    const Schedule schedule_;
    Team memory_;
    ForwardRun<T> run_;
};

}  // namespace gated::GATED_TARGET
