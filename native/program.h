// Runs segments of a plan: those of the library's cells were compiled, any other is interpreted.
//
// The interpreter takes an operation after the other on blocks of some vectors, of several rows
// where units are few, so that what an operation costs to look up is shared. Operands point
// straight at the arrays: nothing is loaded or stored for its own sake.
#pragma once

#include "activation.h"
#include "plan.h"
#include "zoneout.h"

namespace gated::GATED_TARGET {

// One sequence at one step: where its operands are.
template <class T>
struct Row {
    T** at;
    Index time, sequence;
};

// Lanes behind the last unit set to zero: what is added up must not see them.
template <class T>
GATED_INLINE Vector<T> only(Vector<T> v, Whole) {
    return v;
}
template <class T>
GATED_INLINE Vector<T> only(Vector<T> v, Partial part) {
    for (Index lane = part.count; lane < lanes<T>; ++lane) v[lane] = 0;
    return v;
}

// The sum of all lanes, in each lane: halves change places, then halves of these.
template <class T, Index apart = lanes<T> / 2>
GATED_INLINE Vector<T> total(Vector<T> v) {
    if constexpr (apart == 0) {
        return v;
    } else {
        v += picked<T, [](Index lane) { return lane ^ apart; }>(v, v);
        return total<T, apart / 2>(v);
    }
}

constexpr Index block_vectors = 8;  // in flight at once
constexpr Index block_rows = 8;     // at most

template <class T>
constexpr Index registers_size = block_vectors * lanes<T> * block_rows;

// A segment on some vectors of some rows.
template <class T, class Access>
class Block {
public:
    Block(const Row<T>* rows, Index count, Index unit, Index vectors, const bool* advances,
          T* registers, Access access)
        : rows_(rows), count_(count), unit_(unit), vectors_(vectors), advances_(advances),
          registers_(registers), access_(access) {}

    void run(const Segment& segment, bool begins, const Zoneout& zoneout) const {
        for (const Instruction& of : segment.instructions) step(of, begins, zoneout);
    }

private:
    const Row<T>* rows_;
    const Index count_, unit_, vectors_;
    const bool* advances_;
    T* registers_;
    const Access access_;
    static constexpr Index L = lanes<T>;

    T* place(int operand, Index r) const {
        if (operand < 0) return registers_ + (-1 - operand) * registers_size<T> +
                                r * (block_vectors * L);
        return rows_[r].at[operand] + (advances_[operand] ? unit_ : 0);
    }
    Index stride(int operand) const { return operand < 0 || advances_[operand] ? L : 0; }

    template <int count, class Function>
    GATED_INLINE void each(const Instruction& of, Function function) const {
        const Index to = stride(of.result);
        Index from[3]{};
        for (int i = 0; i < count; ++i) from[i] = stride(of.arguments[i]);
        for (Index r = 0; r < count_; ++r) {
            T* result = place(of.result, r);
            const T* a = place(of.arguments[0], r);
            const T* b = count > 1 ? place(of.arguments[1], r) : a;
            const T* c = count > 2 ? place(of.arguments[2], r) : a;
            for (Index v = 0; v < vectors_; ++v) {
                if constexpr (count == 1)
                    access_.store(result + v * to, function(access_.load(a + v * from[0])));
                else if constexpr (count == 2)
                    access_.store(result + v * to, function(access_.load(a + v * from[0]),
                                                            access_.load(b + v * from[1])));
                else
                    access_.store(result + v * to,
                                  function(access_.load(a + v * from[0]),
                                           access_.load(b + v * from[1]),
                                           access_.load(c + v * from[2])));
            }
        }
    }

    void step(const Instruction& of, bool begins, const Zoneout& zoneout) const {
        using V = Vector<T>;
        switch (of.operation) {
#define GATED_OPERATION(name, count, parameters)                                                 \
    case Operation::name:                                                                        \
        return each<count>(of, [] parameters __attribute__((always_inline)) {                    \
            return name##_of<T>(GATED_GIVEN_##count);                                            \
        });
#define GATED_GIVEN_1 a
#define GATED_GIVEN_2 a, b
#define GATED_GIVEN_3 a, b, c
#define GATED_ONE(name) GATED_OPERATION(name, 1, (V a))
#define GATED_TWO(name) GATED_OPERATION(name, 2, (V a, V b))
#define GATED_THREE(name) GATED_OPERATION(name, 3, (V a, V b, V c))
            GATED_ONE(copy)
            GATED_TWO(add)
            GATED_TWO(sub)
            GATED_TWO(mul)
            GATED_TWO(div)
            GATED_ONE(neg)
            GATED_ONE(sigmoid)
            GATED_ONE(tanh)
            GATED_ONE(relu)
            GATED_ONE(softplus)
            GATED_ONE(exp)
            GATED_ONE(log)
            GATED_ONE(sqrt)
            GATED_ONE(abs)
            GATED_TWO(maximum)
            GATED_TWO(minimum)
            GATED_TWO(less)
            GATED_TWO(less_equal)
            GATED_TWO(equal)
            GATED_THREE(where)
            GATED_TWO(sigmoid_back)
            GATED_TWO(tanh_back)
            GATED_THREE(normalise)
            GATED_THREE(multiply_add)
            GATED_THREE(multiply_subtract)
            GATED_THREE(subtract_product)
            GATED_THREE(sigmoid_back_of_product)
            GATED_THREE(tanh_back_of_product)
#undef GATED_ONE
#undef GATED_TWO
#undef GATED_THREE
#undef GATED_GIVEN_1
#undef GATED_GIVEN_2
#undef GATED_GIVEN_3
#undef GATED_OPERATION
            case Operation::sum:
                return add_up(of, begins);
            case Operation::draw:
                return draw(of, zoneout);
            case Operation::accumulate:
                return accumulate(of);
            case Operation::count:
                break;
        }
    }

    // Adds to the lanes of a slot; `run_segment` adds these up.
    void add_up(const Instruction& of, bool begins) const {
        const Index stride_of = stride(of.arguments[0]);
        for (Index r = 0; r < count_; ++r) {
            T* sum = place(of.result, r);
            Vector<T> lanes_of = begins ? Vector<T>{} : load(sum);
            const T* a = place(of.arguments[0], r);
            for (Index v = 0; v < vectors_; ++v)
                lanes_of += only<T>(access_.load(a + v * stride_of), access_);
            store(sum, lanes_of);
        }
    }

    void accumulate(const Instruction& of) const {
        const Index to = stride(of.result), from = stride(of.arguments[0]);
        for (Index r = 0; r < count_; ++r) {
            T* sum = place(of.result, r);
            const T* a = place(of.arguments[0], r);
            for (Index v = 0; v < vectors_; ++v)
                access_.store(sum + v * to, access_.load(sum + v * to) + access_.load(a + v * from));
        }
    }

    void draw(const Instruction& of, const Zoneout& zoneout) const {
        for (Index r = 0; r < count_; ++r) {
            T drawn[block_vectors * L];
            const Row<T>& row = rows_[r];
            kept_by_zoneout(zoneout, of.about, row.time, row.sequence, unit_, vectors_ * L, drawn);
            T* result = place(of.result, r);
            for (Index v = 0; v < vectors_; ++v)
                access_.store(result + v * stride(of.result), load(drawn + v * L));
        }
    }
};

// The units `first` to `last` - 1 of a segment, for some rows, by the interpreter.
template <class T>
[[gnu::noinline]] void interpret(const Segment& segment, const bool* advances, const Row<T>* rows,
                                 Index count, Index first, Index last, const Zoneout& zoneout,
                                 T* registers) {
    constexpr Index L = lanes<T>;
    const Index whole = (last - first) / L, end = first + whole * L;
    const Index at_once = whole == 0 ? block_rows
                          : whole < block_vectors ? block_vectors / whole : 1;
    for (Index r = 0; r < count; r += at_once) {
        const Index here = count - r < at_once ? count - r : at_once;
        for (Index unit = first; unit < end; unit += block_vectors * L) {
            const Index left = (end - unit) / L;
            Block<T, Whole>(rows + r, here, unit, left < block_vectors ? left : block_vectors,
                            advances, registers, Whole{})
                .run(segment, unit == first, zoneout);
        }
        if (end < last)
            Block<T, Partial>(rows + r, here, end, 1, advances, registers, Partial{last - end})
                .run(segment, end == first, zoneout);
    }
    if (!segment.reduces) return;
    for (const Instruction& of : segment.instructions)
        if (of.operation == Operation::sum)
            for (Index r = 0; r < count; ++r) {
                T* sum = rows[r].at[of.result];
                store(sum, total<T>(load(sum)));
            }
}

}  // namespace gated::GATED_TARGET
