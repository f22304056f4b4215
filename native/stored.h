// How packed weights are stored: as the numbers that sums are made of, or in fewer bits.
//
// In fewer bits, some weights of a unit share the 32 bits of a lane. A whole vector of them is widened
// by shifts and masks, which every processor has; so one source serves all of them here, too.
#pragma once

#include <cstring>

#include "matmul.h"

namespace gated::GATED_TARGET {

typedef std::int32_t Words __attribute__((vector_size(GATED_VECTOR_BYTES)));

// Each way to store says: what a Word is, how many weights of a unit share one, and whether a unit's
// sums are multiplied by its scale.

template <class T>
struct AsGiven {
    using Word = T;
    static constexpr int weights_in_word = 1;
    static constexpr bool is_scaled = false;

    template <int which>
    GATED_INLINE static Vector<T> widened(Vector<T> words) {
        return words;
    }
};

// The upper half of a float, rounded to nearest and to even.
struct BFloat16 {
    using Word = std::int32_t;
    static constexpr int weights_in_word = 2;
    static constexpr bool is_scaled = false;

    template <int which>
    GATED_INLINE static Vector<float> widened(Words words) {
        const Words bits = which == 0 ? words << 16 : words & Words(Words{} + ~0xffff);
        Vector<float> wide;
        __builtin_memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    // Rounds weights where they are.
    static void round(float* weights, Index count) {
        for (Index i = 0; i < count; ++i) {
            const std::uint32_t bits = narrowed(weights[i]) << 16;
            std::memcpy(weights + i, &bits, sizeof bits);
        }
    }
    static std::uint32_t narrowed(float weight) {
        std::uint32_t bits;
        std::memcpy(&bits, &weight, sizeof bits);
        if ((bits & 0x7fffffff) > 0x7f800000) return (bits | 0x400000) >> 16;  // stays no number
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
};

// What rounding to BFloat16 has left of a number, rounded likewise; nothing where it is not finite.
struct BFloat16Rest : BFloat16 {
    static std::uint32_t narrowed(float weight) {
        const std::uint32_t bits = BFloat16::narrowed(weight) << 16;
        float upper;
        std::memcpy(&upper, &bits, sizeof upper);
        const float rest = weight - upper;
        return rest - rest == 0 ? BFloat16::narrowed(rest) : 0;
    }
};

// A panel in BFloat16, and behind it one of its rests.
struct BFloat16WithRest {
    using Word = std::int32_t;
    static constexpr int weights_in_word = 2;
    static constexpr bool is_scaled = false;
};

// Whole numbers from -127 to 127 by a scale for each unit, which multiply whole numbers: see int8.h.
struct Int8 {
    using Word = std::int32_t;
    static constexpr int weights_in_word = 4;
    static constexpr bool is_scaled = true;
};

// Words of a lane for so many weights.
template <class Stored>
constexpr Index words_for(Index depth) {
    return (depth + Stored::weights_in_word - 1) / Stored::weights_in_word;
}

template <>
constexpr Index words_for<BFloat16WithRest>(Index depth) {
    return 2 * words_for<BFloat16>(depth);
}

// Packs a panel as pack_panel does, in fewer bits: [word][vector][lane].
template <class Stored>
void pack_narrow(const float* rows, Index real, int vectors, Index depth, std::int32_t* packed) {
    const Index width = vectors * lanes<float>;
    for (Index word = 0; word < words_for<Stored>(depth); ++word)
        for (Index u = 0; u < width; ++u) {
            std::uint32_t bits = 0;
            for (int i = 0; i < Stored::weights_in_word && u < real; ++i) {
                const Index k = word * Stored::weights_in_word + i;
                if (k < depth)
                    bits |= Stored::narrowed(rows[u * depth + k]) << 32 / Stored::weights_in_word * i;
            }
            packed[word * width + u] = std::int32_t(bits);
        }
}

// Calls of(which) for each weight of a word.
template <class Stored, class Of>
GATED_INLINE void each_in_word(const Of& of) {
    [&]<int... which>(std::integer_sequence<int, which...>) __attribute__((always_inline)) {
        (of(std::integral_constant<int, which>()), ...);
    }(std::make_integer_sequence<int, Stored::weights_in_word>());
}

// Widens rows of a packed panel, from row `first` of k on, which begins a word.
template <class Stored>
void widen(const std::int32_t* packed, int vectors, Index first, Index depth, float* wide) {
    constexpr Index L = lanes<float>;
    const std::int32_t* from = packed + first / Stored::weights_in_word * vectors * L;
    for (Index k = 0; k < depth; k += Stored::weights_in_word)
        for (int v = 0; v < vectors; ++v, from += L) {
            Words words;
            __builtin_memcpy(&words, from, sizeof words);
            each_in_word<Stored>([&](auto which) __attribute__((always_inline)) {
                if (k + which < depth)
                    store(wide + ((k + which) * vectors + v) * L,
                          Stored::template widened<which>(words));
            });
        }
}

// sums[p] += Σ_k left[k] · panels[p][k] for one row and P panels at a time: one alone waits for its
// sums. They are added up in the order of multiply_tile, so that a sequence alone has the bits that it
// has among others.
template <class Stored, class T, int V, int P>
[[gnu::noinline]] void multiply_one(Index depth, const T* __restrict left,
                                    const typename Stored::Word* const* panels, T* const* sums) {
    constexpr int G = Stored::weights_in_word;
    using Lanes = std::conditional_t<G == 1, Vector<T>, Words>;
    Vector<T> sum[P][V];
    const typename Stored::Word* words[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
        words[p] = panels[p];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            sum[p][v] = load(sums[p] + v * lanes<T>);
    }
    const auto add = [&](Index k, auto whole) __attribute__((always_inline)) {
        Vector<T> x[G];
        each_in_word<Stored>([&](auto i) __attribute__((always_inline)) {
            x[i] = whole || k + i < depth ? broadcast<T>(left[k + i]) : Vector<T>{};
        });
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                Lanes here;
                __builtin_memcpy(&here, words[p] + v * lanes<T>, sizeof here);
                each_in_word<Stored>([&](auto i) __attribute__((always_inline)) {
                    if (whole || k + i < depth)
                        sum[p][v] += x[i] * Stored::template widened<i>(here);
                });
            }
            words[p] += V * lanes<T>;
        }
    };
    Index k = 0;
    for (; k + G <= depth; k += G) add(k, std::true_type());
    if (G > 1 && k < depth) add(k, std::false_type());
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(sums[p] + v * lanes<T>, sum[p][v]);
}
// multiply_one for `count` panels of `vectors` vectors; returns how many of them it took.
template <class Stored, class T, int V>
GATED_INLINE int multiply_one_of(int count, Index depth, const T* left,
                                 const typename Stored::Word* const* panels, T* const* sums) {
    if constexpr (V <= 2)
        if (count >= 4) return multiply_one<Stored, T, V, 4>(depth, left, panels, sums), 4;
    if (count >= 2) return multiply_one<Stored, T, V, 2>(depth, left, panels, sums), 2;
    return multiply_one<Stored, T, V, 1>(depth, left, panels, sums), 1;
}
constexpr int most_panels = 4;
template <class Stored, class T>
GATED_INLINE int multiply_one_panels(int vectors, int count, Index depth, const T* left,
                                     const typename Stored::Word* const* panels, T* const* sums) {
    switch (vectors) {
        case 1: return multiply_one_of<Stored, T, 1>(count, depth, left, panels, sums);
        case 2: return multiply_one_of<Stored, T, 2>(count, depth, left, panels, sums);
        case 3: return multiply_one_of<Stored, T, 3>(count, depth, left, panels, sums);
        default: return multiply_one_of<Stored, T, 4>(count, depth, left, panels, sums);
    }
}

// multiply_panel for weights in fewer bits: a part is widened into the first cache, for all rows.
template <class Stored>
void multiply_narrow(int vectors, Index rows, Index depth, const float* const* left,
                     const std::int32_t* packed, float* sums, Index stride) {
    multiply_in_parts<float>(
        vectors, rows, depth, AlongRows<float>{left, 0},
        [&](Index k, Index depth, float* wide) {
            widen<Stored>(packed, vectors, k, depth, wide);
        },
        sums, stride);
}

}  // namespace gated::GATED_TARGET
