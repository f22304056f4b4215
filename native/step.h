// A plan at work on some rows: where the operands of a row are, and how its segments run.
#pragma once

#include <vector>

#include "compiled.h"
#include "program.h"
#include "rnn.h"

namespace gated::GATED_TARGET {

// Where the operands of a plan lie in their arrays, for the sizes of a call.
template <class T>
class Places {
public:
    Places(const Plan& plan, const Layer<T>& layer)
        : plan_(plan), offsets_(plan.operands.size()), advances_(new bool[plan.operands.size()]) {
        std::vector<Index> slots, kept;
        std::vector<bool> in_row(plan.slots.size());
        for (const Operand& of : plan.operands)
            if (of.base == Base::slot) in_row[of.index] = true;
        for (std::size_t i = 0; i < plan.slots.size(); ++i) {
            slots.push_back(width_);
            if (in_row[i]) width_ += padded(layer, plan.slots[i]);
        }
        sums_.assign(plan.slots.size(), -1);
        // One line more than needed: rows a power of two apart would share a cache set.
        width_ += 64 / Index(sizeof(T));
        for (const Width of : plan.kept) {
            kept.push_back(kept_width_);
            kept_width_ += of == Width::one ? kept_one : layer.of(of);
        }
        int base = 0;
        for (std::size_t i = 0; i < plan.operands.size(); ++i) {
            const Operand& of = plan.operands[i];
            while (base <= int(of.base)) first_[base++] = int(i);
            advances_[i] = of.width != Width::one;
            if (of.base == Base::slot) offsets_[i] = slots[of.index];
            if (of.base == Base::grad_sum) {
                offsets_[i] = sums_[of.index] = sums_width_;
                sums_width_ += padded(layer, of.width);
            }
            if (of.base == Base::kept || of.base == Base::grad_kept) offsets_[i] = kept[of.index];
        }
        while (base <= int(Base::count)) first_[base++] = int(plan.operands.size());
        slots_ = std::move(slots);
    }

    Index width() const { return width_; }            // of a row of slots
    Index kept_width() const { return kept_width_; }  // of a row of what is kept
    Index slot(int slot) const { return slots_[slot]; }
    Index sums_width() const { return sums_width_; }  // of a row of sums over steps
    Index sum(int slot) const { return sums_[slot]; }  // of a slot's values; -1 if they have none
    const Index* offsets() const { return offsets_.data(); }
    const bool* advances() const { return advances_.get(); }
    Index operands() const { return Index(offsets_.size()); }

    // Operands that lie side by side in a row of memory.
    GATED_INLINE void put(T** at, Base base, const T* memory) const {
        for (int i = first_[int(base)]; i < first_[int(base) + 1]; ++i)
            at[i] = const_cast<T*>(memory) + offsets_[i];
    }
    // Operands of which `of` says where each is.
    template <class Of>
    GATED_INLINE void put_each(T** at, Base base, const Of& of) const {
        for (int i = first_[int(base)]; i < first_[int(base) + 1]; ++i)
            at[i] = const_cast<T*>(of(plan_.operands[i].index));
    }

    // Lets what a row keeps come nearer, in so many parts: it is read or written some hundred
    // instructions later, in more streams than a processor follows by itself.
    GATED_INLINE void fetch_kept(T* const* at, Index part, Index parts) const {
        const int any = first_[int(Base::kept)];
        if (any == first_[int(Base::kept) + 1]) return;
        const T* row = at[any] - offsets_[any];
        const Index lines = (kept_width_ + line<T> - 1) / line<T>;
        for (Index i = lines * part / parts; i < lines * (part + 1) / parts; ++i)
            __builtin_prefetch(row + i * line<T>, 0, 2);
    }

    static Index padded(const Layer<T>& layer, Width width) {
        return width == Width::one ? lanes<T> : Cut<T>(layer.of(width)).padded();
    }

private:
    const Plan& plan_;
    std::vector<Index> offsets_, slots_, sums_;
    std::unique_ptr<bool[]> advances_;
    int first_[int(Base::count) + 1];
    Index width_ = 0, kept_width_ = 0, sums_width_ = 0;
};

// Numbers of a plan, each in every lane of a vector.
template <class T>
std::vector<T> constants_of(const Plan& plan, const Layer<T>& layer) {
    std::vector<T> lanes_of;
    for (std::size_t i = 0; i < plan.constants.size(); ++i) {
        const int width = plan.constant_widths[i];
        const T value = width < 0 ? T(plan.constants[i]) : T(layer.of(Width(width)));
        lanes_of.insert(lanes_of.end(), lanes<T>, value);
    }
    return lanes_of;
}

// Puts what stays where it is: constants, parameters, and what belongs to the sequence.
template <class T>
void put_fixed(const Places<T>& places, const Layer<T>& layer, const std::vector<T>& constants,
               const std::vector<T>& scalars, Index sequence, T** at) {
    places.put_each(at, Base::constant, [&](int i) { return constants.data() + i * lanes<T>; });
    places.put_each(at, Base::parameter, [&](int i) {
        const int array = i / 64, block = i % 64;
        return layer.cell->parameters[array] == 0 ? scalars.data() + array * lanes<T>
                                                  : layer.parameters[array] + block * layer.units;
    });
    places.put_each(at, Base::sequence, [&](int i) {
        return layer.sequence[i] + sequence * layer.of(layer.cell->sequence[i]);
    });
}

// An input that differs from step to step.
template <class T>
const T* per_step_at(const Layer<T>& layer, int input, Index time, Index sequence) {
    const Index width = layer.of(layer.cell->per_step[input]);
    return layer.per_step[input] + (time * layer.sequences + sequence) * width;
}

// Parameters of one number, in every lane.
template <class T>
std::vector<T> scalars_of(const Layer<T>& layer) {
    std::vector<T> lanes_of(layer.parameters.size() * lanes<T>);
    for (std::size_t i = 0; i < layer.parameters.size(); ++i)
        if (layer.cell->parameters[i] == 0)
            for (Index lane = 0; lane < lanes<T>; ++lane)
                lanes_of[i * lanes<T> + lane] = layer.parameters[i][0];
    return lanes_of;
}

// The units `first` to `last` - 1 of a segment, for some rows.
template <class T>
void run_segment(const Segment& segment, const Places<T>& places, const Row<T>* rows, Index count,
                 Index first, Index last, const Zoneout& zoneout, T* registers) {
    if (count == 0 || first >= last) return;
    if (segment.width == Width::one) last = first + lanes<T>;  // all of them the same
    if (segment.compiled >= 0)
        compiled_segments<T>[segment.compiled](rows, count, first, last);
    else
        interpret<T>(segment, places.advances(), rows, count, first, last, zoneout, registers);
}

// So many rows go through a stage's segments together: what one segment leaves is in the first cache
// for the next, and rows wait for their sums side by side.
constexpr Index rows_together = 2;

// The segments of a stage from `begin` on, for some rows. `span` gives the units of a segment, first
// and last. A stage that `fetches` is the one that reads or writes most of what the step keeps.
template <class T, class Span>
void run_segments(const Stage& stage, std::size_t begin, const Places<T>& places,
                  const Row<T>* rows, Index count, const Zoneout& zoneout, T* registers,
                  bool fetches, const Span& span) {
    const std::size_t end = stage.segments.size();
    if (begin >= end) return;
    const Index most = stage.segments[begin].compiled >= 0 ? rows_together : block_rows;
    for (Index r = 0; r < count; r += most) {
        const Index next = r + most, here = next < count ? most : count - r;
        for (std::size_t i = begin; i < end; ++i) {
            for (Index ahead = next; fetches && ahead < count && ahead < next + most; ++ahead)
                places.fetch_kept(rows[ahead].at, Index(i - begin), Index(end - begin));
            const auto [first, last] = span(stage.segments[i]);
            run_segment(stage.segments[i], places, rows + r, here, first, last, zoneout, registers);
        }
    }
}

// Registers for any segment of a plan.
template <class T>
Index registers_of(const Plan& plan) {
    int most = 0;
    for (const Stage& stage : plan.stages)
        for (const Segment& segment : stage.segments)
            if (segment.registers > most) most = segment.registers;
    return most * registers_size<T>;
}

}  // namespace gated::GATED_TARGET
