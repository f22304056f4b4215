// Products of bfloat16: weights as pack_narrow packs them, by activations rounded to the same pairs.
//
// A word holds two of them, of k even in its lower half and of k odd in its upper one. The product of
// two words is the sum of two products, each of which has at most 16 bits: no sum of products needs to
// round it, and whoever adds it up, fused or not, has the same. What is rounded is each addition in
// float32, so that in any order
//
//   |error| ≤ depth · 2^-24 · (|what was there| + Σ_k |left[k] · weights[k]|).
//
// AVX512-BF16 and AMX take numbers below 2^-126 for zeros, operands as well as sums: that adds at most
// |left[k] · weights[k]| where either is one of these, and 2^-126 for each addition.
//
// A float32 is the sum of such a number, of another that is what rounding has left, and of an error of at
// most 2^-16 of it. Where these rests are packed and rounded too, three products of pairs, all but that of
// two rests, stand for one of float32: beside the rounding of sums,
//
//   |error| ≤ 2^-14 · Σ_k |left[k] · weights[k]|.
//
// The order depends on who multiplies (odd k before even ones; even and odd ones apart, 32 values at
// a time; one after another), and on nothing else: a row has the same bits among any others.
#pragma once

#include "processor.h"
#include "stored.h"

#if defined(__AVX512F__) && GATED_VECTOR_BYTES == 64
#define GATED_PAIRS_IN_HARDWARE
#endif

namespace gated::GATED_TARGET {

// The instructions are named where they are used, and reached only where the processor has them: the
// kernels need no further copy that is compiled for it.
#ifdef GATED_PAIRS_IN_HARDWARE
template <>
struct Products<float, std::int32_t> {
    GATED_INLINE static void add(Vector<float>& sum, Words x, Words w) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    }
};

GATED_INLINE Words narrowed_by_hardware(Vector<float> low, Vector<float> high) {
    Words words;
    asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(words) : "v"(high), "v"(low));
    return words;
}
#endif

// BFloat16::narrowed of each lane, in the lane's upper half.
GATED_INLINE Words rounded_to_upper(Vector<float> x) {
    typedef std::uint32_t Patterns __attribute__((vector_size(GATED_VECTOR_BYTES)));
    Patterns bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    const Patterns nearest = bits + 0x7fff + (bits >> 16 & 1);
    return Words((x != x ? bits | 0x400000 : nearest) & 0xffff0000);
}

// The values of two vectors, two to a word.
GATED_INLINE Words narrowed(Vector<float> low, Vector<float> high) {
    typedef std::uint32_t Patterns __attribute__((vector_size(GATED_VECTOR_BYTES)));
    const auto even = picked<float, [](Index lane) { return 2 * lane; }>(low, high);
    const auto odd = picked<float, [](Index lane) { return 2 * lane + 1; }>(low, high);
    return Words(Patterns(rounded_to_upper(even)) >> 16) | rounded_to_upper(odd);
}

// Rounds numbers to nearest and to even, side by side; behind them follow zeros up to `end`, which is
// the next one at most.
inline void round_numbers(Pairs by, const float* from, Index count, Index end, std::uint16_t* to) {
    constexpr Index L = lanes<float>;
    const auto round = [&](const auto& narrow) __attribute__((always_inline)) {
        Index k = 0;
        for (; k + 2 * L <= count; k += 2 * L) {
            const Words both = narrow(load(from + k), load(from + k + L));
            __builtin_memcpy(to + k, &both, sizeof both);
        }
        if (k == count) return;
        const Index left = count - k, low = left < L ? left : L;
        const Words both =
            narrow(Partial{low}.load(from + k), Partial{left - low}.load(from + k + low));
        __builtin_memcpy(to + k, &both, (end - k) * sizeof *to);
    };
#ifdef GATED_PAIRS_IN_HARDWARE
    if (by != Pairs::portable)
        return round([](Vector<float> low, Vector<float> high)
                         __attribute__((always_inline)) { return narrowed_by_hardware(low, high); });
#endif
    static_cast<void>(by);
    round([](Vector<float> low, Vector<float> high)
              __attribute__((always_inline)) { return narrowed(low, high); });
}

// Whether products are of pairs, who multiplies them, and whether of rests too.
struct Pairing {
    bool is_used = false, has_rests = false;
    Pairs by = Pairs::portable;

    // How often a row of words lies there: rests have rows of their own.
    Index rows() const { return has_rests ? 2 : 1; }
};

// What of a number is rounded: the number, or what rounding it has left, as BFloat16Rest says.
enum class Part { number, rest };
template <Part part>
GATED_INLINE Vector<float> part_of(Vector<float> x) {
    if constexpr (part == Part::number) return x;
    const Words bits = rounded_to_upper(x);
    Vector<float> upper;
    __builtin_memcpy(&upper, &bits, sizeof upper);
    const Vector<float> rest = x - upper;
    return rest - rest == 0 ? rest : Vector<float>{};
}

// Rounds activations to pairs; behind an odd depth follows a zero.
inline void round_pairs(Pairs by, const float* from, Index depth, std::int32_t* words) {
    round_numbers(by, from, depth, 2 * words_for<BFloat16>(depth),
                  reinterpret_cast<std::uint16_t*>(words));
}
// The same of their rests.
inline void round_rests(Pairs by, const float* from, Index depth, std::int32_t* words) {
    constexpr Index L = lanes<float>, some = 8 * L;
    for (Index begin = 0; begin < depth; begin += some, words += some / 2) {
        const Index here = depth - begin < some ? depth - begin : some;
        float rests[some];
        for (Index k = 0; k < here; k += L) {
            const Index left = here - k;
            const Vector<float> x = left < L ? Partial{left}.load(from + begin + k) : load(from + begin + k);
            store(rests + k, part_of<Part::rest>(x));
        }
        round_pairs(by, rests, here, words);
    }
}
// Both where both are multiplied: the rests lie `apart` words behind.
inline void round_pairing(const Pairing& how, const float* from, Index depth, Index apart,
                          std::int32_t* words) {
    round_pairs(how.by, from, depth, words);
    if (how.has_rests) round_rests(how.by, from, depth, words + apart);
}

// Two rows of numbers as one of pairs, each of a number of the first and the one below it.
template <Part part>
GATED_INLINE Words paired(Vector<float> upper_row, Vector<float> lower_row) {
    typedef std::uint32_t Patterns __attribute__((vector_size(GATED_VECTOR_BYTES)));
    return Words(Patterns(rounded_to_upper(part_of<part>(upper_row))) >> 16) |
           rounded_to_upper(part_of<part>(lower_row));
}
// The same for whole rows of `width` numbers, a multiple of the lanes; the words may lie where the rows
// are. There is no lower row where it is null.
template <Part part = Part::number>
void pair_rows(const float* upper, const float* lower, Index width, std::int32_t* words) {
    for (Index u = 0; u < width; u += lanes<float>) {
        const Words both = paired<part>(load(upper + u), lower ? load(lower + u) : Vector<float>{});
        __builtin_memcpy(words + u, &both, sizeof both);
    }
}

// Columns of `count` rows of `width` numbers, `stride` apart, as rows of pairs along the columns:
// (width, apart). Behind an odd count follows a zero.
template <Part part = Part::number>
void pair_columns(const float* rows, Index count, Index width, Index stride, std::int32_t* words,
                  Index apart) {
    constexpr Index L = lanes<float>;
    for (Index u = 0; u < width; u += L) {
        const Index here = width - u < L ? width - u : L;
        const auto row = [&](Index r) {
            const float* from = rows + r * stride + u;
            return r >= count ? Vector<float>{} : here == L ? load(from) : Partial{here}.load(from);
        };
        for (Index w = 0; w < (count + 1) / 2; w += L) {
            const Index some = (count + 1) / 2 - w < L ? (count + 1) / 2 - w : L;
            Vector<float> square[L];  // of words: only moved
            for (Index i = 0; i < L; ++i) {
                const Words both = i < some ? paired<part>(row(2 * (w + i)), row(2 * (w + i) + 1)) : Words{};
                __builtin_memcpy(&square[i], &both, sizeof both);
            }
            transpose<float>(square);
            for (Index i = 0; i < here; ++i)
                __builtin_memcpy(words + (u + i) * apart + w, &square[i], some * sizeof *words);
        }
    }
}

// Rows of pairs at even distances, as numbers: row r, column k.
struct WidenedRows {
    const std::int32_t* data;
    Index stride, first;  // in words, and in columns

    template <int R>
    struct Tile {
        const std::int32_t* data;
        Index stride, first;
        GATED_INLINE float at(int r, Index k) const {
            const std::uint32_t word = data[r * stride + (first + k) / 2];
            const std::uint32_t bits = word >> (first + k) % 2 * 16 << 16;
            float wide;
            __builtin_memcpy(&wide, &bits, sizeof wide);
            return wide;
        }
    };
    template <int R>
    GATED_INLINE Tile<R> tile() const {
        return {data, stride, first};
    }
    WidenedRows below(Index r) const { return {data + r * stride, stride, first}; }
    WidenedRows behind(Index k) const { return {data, stride, first + k}; }
};

#ifdef GATED_PAIRS_IN_HARDWARE
template <int count, class Of>
GATED_INLINE void each(const Of& of) {
    [&]<int... which>(std::integer_sequence<int, which...>) __attribute__((always_inline)) {
        (of(std::integral_constant<int, which>()), ...);
    }(std::make_integer_sequence<int, count>());
}
#endif

// A thread's tile registers, which stay as they are from one product to the next: arranging them costs
// as much as some products. Four of up to 16 rows have sums, of 16 units each; one has activations and
// one weights, of 16 words; two have what words are left at the end.
class Tiles {
#ifdef GATED_PAIRS_IN_HARDWARE
public:
    static constexpr int sums = 4, left = 4, weights = 5, last_left = 6, last_weights = 7;

    Tiles() = default;
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
    ~Tiles() {
        if (rows_) asm volatile("tilerelease");
    }

    void arrange(int rows, int last_words) {
        if (rows == rows_ && last_words == last_words_) return;
        rows_ = rows;
        last_words_ = last_words;
        struct alignas(64) {
            std::uint8_t palette = 1, start = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {};
            std::uint8_t rows[16] = {};
        } shapes;
        const auto shape = [&](int tile, int rows, int words) {
            shapes.rows[tile] = std::uint8_t(rows);
            shapes.bytes[tile] = std::uint16_t(4 * words);
        };
        for (int tile = 0; tile < sums; ++tile) shape(tile, rows, 16);
        shape(left, rows, 16);
        shape(weights, 16, 16);
        if (last_words) {
            shape(last_left, rows, last_words);
            shape(last_weights, last_words, 16);
        }
        asm volatile("ldtilecfg %0" : : "m"(shapes));
    }

    // A tile's rows lie `stride` bytes apart.
    template <int tile>
    GATED_INLINE static void load(const void* from, Index stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
    }
    template <int tile>
    GATED_INLINE static void store(void* to, Index stride) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
    }
    template <int sum, int x, int w>
    GATED_INLINE static void multiply() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(x), "i"(w));
    }

private:
    int rows_ = 0, last_words_ = 0;
#endif
};

#ifdef GATED_PAIRS_IN_HARDWARE
// A tiles of `height` rows, one below the other, by V vectors, over the whole of `words`.
template <int A, int V>
[[gnu::noinline]] void multiply_tiles(Index height, Index words, const std::int32_t* left,
                                      Index left_stride, const std::int32_t* packed, float* sums,
                                      Index stride) {
    constexpr Index L = lanes<float>, word = sizeof(std::int32_t);
    const auto each_sum = [&](const auto& of) __attribute__((always_inline)) {
        each<A>([&](auto a) __attribute__((always_inline)) {
            each<V>([&](auto v) __attribute__((always_inline)) {
                of(std::integral_constant<int, a * V + v>(), sums + a * height * stride + v * L);
            });
        });
    };
    each_sum([&](auto sum, const float* at)
                 __attribute__((always_inline)) { Tiles::load<sum>(at, stride * word); });
    const auto add = [&](auto x, auto w) __attribute__((always_inline)) {
        each<A>([&](auto a) __attribute__((always_inline)) {
            Tiles::load<x>(left + a * height * left_stride, left_stride * word);
            each<V>([&](auto v) __attribute__((always_inline)) {
                if (V > 1 || a == 0) Tiles::load<w>(packed + v * L, V * L * word);
                Tiles::multiply<a * V + v, x, w>();
            });
        });
    };
    for (Index last = words - 16; last >= 0; last -= 16, left += 16, packed += 16 * V * L)
        add(std::integral_constant<int, Tiles::left>(), std::integral_constant<int, Tiles::weights>());
    if (words % 16)
        add(std::integral_constant<int, Tiles::last_left>(),
            std::integral_constant<int, Tiles::last_weights>());
    each_sum([&](auto sum, float* at)
                 __attribute__((always_inline)) { Tiles::store<sum>(at, stride * word); });
}

// The same for any number of rows, in tiles as equal as they can be, of which four are at work at a
// time where there are so many: one waits for its sums. A part of the panel is used by all rows while
// it is in the first cache.
template <int V>
void multiply_in_tiles(Tiles& tiles, Index rows, Index words, const std::int32_t* left,
                       Index left_stride, const std::int32_t* packed, float* sums, Index stride) {
    constexpr Index width = V * lanes<float>;
    constexpr Index most = tile_depth<float, V> / 16 * 16;
    const Index count = (rows + 15) / 16;
    const Index part = count > 1 ? most : words;
    Index first = 0;
    const auto multiply_alike = [&](Index alike, Index height) {  // so many tiles of one height
        if (alike == 0) return;
        tiles.arrange(int(height), int(words % 16));
        for (Index w = 0; w < words; w += part) {
            const Index here = words - w < part ? words - w : part;
            Index r = first, todo = alike;
            const auto take = [&](auto some) {
                for (; todo >= some; todo -= some, r += some * height)
                    multiply_tiles<some, V>(height, here, left + r * left_stride + w, left_stride,
                                            packed + w * width, sums + r * stride, stride);
            };
            if constexpr (V == 1) take(std::integral_constant<int, 4>());
            if constexpr (V <= 2) take(std::integral_constant<int, 2>());
            take(std::integral_constant<int, 1>());
        }
        first += alike * height;
    };
    if (rows == 0) return;
    multiply_alike(rows % count, rows / count + 1);
    multiply_alike(count - rows % count, rows / count);
}
#endif

// sums[r] += Σ_k left(r, k) · weights[k] for a panel of `vectors` vectors and rows of words. AMX reads
// words that lie in one line of the caches at once: rows do best that begin lines.
inline void multiply_pairs(Pairs by, Tiles& tiles, int vectors, Index rows, Index words,
                           const std::int32_t* left, Index left_stride, const std::int32_t* packed,
                           float* sums, Index stride, bool from_afar = false) {
#ifdef GATED_PAIRS_IN_HARDWARE
    const auto in_tiles = [&](auto v) {
        multiply_in_tiles<v>(tiles, rows, words, left, left_stride, packed, sums, stride);
    };
    if (by == Pairs::amx) switch (vectors) {
            case 1: return in_tiles(std::integral_constant<int, 1>());
            case 2: return in_tiles(std::integral_constant<int, 2>());
            case 3: return in_tiles(std::integral_constant<int, 3>());
            default: return in_tiles(std::integral_constant<int, 4>());
        }
    if (by == Pairs::avx512_bf16)
        return multiply_panel<float>(vectors, rows, words, EvenRows<std::int32_t>{left, left_stride},
                                     packed, sums, stride, from_afar);
#endif
    static_cast<void>(by), static_cast<void>(tiles), static_cast<void>(from_afar);
    multiply_in_parts<float>(
        vectors, rows, 2 * words, WidenedRows{left, left_stride, 0},
        [&](Index k, Index depth, float* wide) {
            widen<BFloat16>(packed, vectors, k, depth, wide);
        },
        sums, stride);
}

// The same with the products that a pairing has, of which the rests lie so many words behind.
inline void multiply_pairing(const Pairing& how, Tiles& tiles, int vectors, Index rows, Index words,
                             const std::int32_t* left, Index left_rests, Index left_stride,
                             const std::int32_t* packed, Index packed_rests, float* sums, Index stride,
                             bool from_afar = false) {
    const auto multiply = [&](Index of_left, Index of_packed) {
        multiply_pairs(how.by, tiles, vectors, rows, words, left + of_left, left_stride,
                       packed + of_packed, sums, stride, from_afar);
    };
    if (how.has_rests) {
        multiply(left_rests, 0);
        multiply(0, packed_rests);
    }
    multiply(0, 0);
}

}  // namespace gated::GATED_TARGET
