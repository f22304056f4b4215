// Arrays of narrow numbers, bfloat16: they are float32 for as long as they are computed with.
#pragma once

#include "pairs.h"
#include "rnn.h"

namespace gated::GATED_TARGET {

template <class T>
void widen_row(const Narrow* from, Index count, T* to) {
    if constexpr (std::is_same_v<T, float>)
        for (Index i = 0; i < count; ++i) {
            const std::uint32_t bits = std::uint32_t(from[i]) << 16;
            __builtin_memcpy(to + i, &bits, sizeof bits);
        }
}

template <class T>
void narrow_row(Pairs by, const T* from, Index count, Narrow* to) {
    if constexpr (std::is_same_v<T, float>) round_numbers(by, from, count, count, to);
}

// A row of an array: where it is, or widened into `wide`.
template <class T, class U>
const T* read(const Rows<U>& rows, Index t, Index b, Index width, T* wide) {
    if (!rows.is_narrow) return rows.at(t, b);
    widen_row(rows.narrow_at(t, b), width, wide);
    return wide;
}

// Sets a row's units `first` to `last` - 1 to zero.
template <class T>
void clear_row(const Rows<T>& rows, Index t, Index b, Index first, Index last) {
    if (first >= last) return;
    if (rows.is_narrow)
        __builtin_memset(rows.narrow_at(t, b) + first, 0, (last - first) * sizeof(Narrow));
    else
        __builtin_memset(rows.at(t, b) + first, 0, (last - first) * sizeof(T));
}

}  // namespace gated::GATED_TARGET
