// Products of whole numbers: weights in eight bits by activations in twelve.
//
// A unit's weights have one scale, and an activation vector has one for the step: w = scale·q with q
// from -127 to 127, x = scale·q with q from -2047 to 2047. Their products are summed up exactly, so
// that the order of the sums, and with it the processor, the batch and the threads, make no difference;
// the sum then is multiplied by both scales and added to what is there.
//
// Four weights of a unit share a word: those of k = i, i + Q, i + 2Q and i + 3Q, Q being a quarter of
// the depth, so that whole vectors of activations are put side by side as the products need them.
//
// Some processors multiply and add up in one instruction. vpdpwssd takes halves of words, as the portable
// code does: weights are widened to sixteen bits first, once for all rows of a tile. vpdpbusd, of bytes,
// would save that, but not a product: an activation has twelve bits and so takes two of either. sdot takes
// bytes: there an activation is 16 times one signed byte and another from 0 to 15, and no weight is widened.
#pragma once

#include "processor.h"
#include "stored.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace gated::GATED_TARGET {

typedef std::int16_t Halves __attribute__((vector_size(GATED_VECTOR_BYTES)));

// As many as are summed up at a time: in 32 bits (1024·127·2047 is less than 2^31), and of weights that
// stay in the first cache for all rows.
constexpr Index exact_depth = 1024;
// Vectors of a panel that lie side by side; those behind them have their words behind theirs.
constexpr int int8_vectors = 2;
constexpr Index quarter_of(Index depth) { return (depth + 3) / 4; }

// Each lane: the product of the lower halves and that of the upper halves, added up.
GATED_INLINE Words multiply_halves(Words a, Words b) {
    Words sums;
#if defined(__AVX512BW__) && GATED_VECTOR_BYTES == 64
    const __m512i of = _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
    __builtin_memcpy(&sums, &of, sizeof sums);
#elif defined(__AVX2__)
    constexpr std::size_t parts = sizeof(Words) / sizeof(__m256i);
    __m256i x[parts], y[parts];
    __builtin_memcpy(x, &a, sizeof x);
    __builtin_memcpy(y, &b, sizeof y);
    for (std::size_t i = 0; i < parts; ++i) x[i] = _mm256_madd_epi16(x[i], y[i]);
    __builtin_memcpy(&sums, x, sizeof sums);
#elif defined(__SSE2__)
    const __m128i of = _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b));
    __builtin_memcpy(&sums, &of, sizeof sums);
#elif defined(__ARM_NEON)
    int16x8_t x, y;
    __builtin_memcpy(&x, &a, sizeof x);
    __builtin_memcpy(&y, &b, sizeof y);
    const int32x4_t of = vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
    __builtin_memcpy(&sums, &of, sizeof sums);
#else
    sums = ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
    return sums;
}

// Whose instructions the kernels can be told to use.
#if defined(__AVX512BW__) && GATED_VECTOR_BYTES == 64 || defined(__AVX2__) && GATED_VECTOR_BYTES == 32
constexpr Dots hardware_dots = Dots::halves;
#elif defined(__aarch64__)
constexpr Dots hardware_dots = Dots::bytes;
#else
constexpr Dots hardware_dots = Dots::portable;
#endif

#ifdef __ARM_FEATURE_DOTPROD
#define GATED_KNOWS_SDOT
#else  // its assembler does not know it otherwise
#define GATED_KNOWS_SDOT ".arch armv8.2-a+dotprod\n\t"
#endif

// Adds, to each lane, the products of the halves or of the bytes. The instructions are named here, and
// reached only where the processor has them, as in pairs.h.
template <Dots by>
GATED_INLINE void add_products(Words& sum, Words weights, Words x) {
    if constexpr (by == Dots::portable) sum += multiply_halves(weights, x);
#if defined(__AVX512BW__) && GATED_VECTOR_BYTES == 64
    else asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(x));
#elif defined(__AVX2__) && GATED_VECTOR_BYTES == 32
    else asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(weights), "x"(x));
#elif defined(__aarch64__)
    else asm(GATED_KNOWS_SDOT "sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(weights), "w"(x));
#endif
}

// Calls of(vector, its place) for numbers side by side; lanes behind the last one are zeros.
template <class Of>
GATED_INLINE void each_vector(const float* from, Index count, const Of& of) {
    constexpr Index L = lanes<float>;
    Index k = 0;
    for (; k + L <= count; k += L) of(load(from + k), k);
    if (k < count) of(Partial{count - k}.load(from + k), k);
}

// The largest size among numbers; no number where one of them is infinite or none.
inline float largest_of(const float* from, Index count) {
    Vector<float> largest{}, nothings{};
    each_vector(from, count, [&](Vector<float> x, Index) __attribute__((always_inline)) {
        const Vector<float> size = x < 0 ? -x : x;
        largest = size > largest ? size : largest;
        nothings += x - x;
    });
    float most = 0, nothing = 0;
    for (Index lane = 0; lane < lanes<float>; ++lane) {
        most = largest[lane] > most ? largest[lane] : most;
        nothing += nothings[lane];
    }
    return most + nothing;
}

// Packs a panel of rows of `depth` values: [two vectors][word][vector][lane], and a scale for each unit.
inline void pack_int8(const float* rows, Index real, int vectors, Index depth, float* scales,
                      std::int32_t* packed) {
    constexpr Index two = int8_vectors * lanes<float>;
    const Index width = vectors * lanes<float>;
    for (Index u = 0; u < width; ++u) {
        const float* row = rows + u * depth;
        const Index used = u < real ? depth : 0;
        const float scale = scales[u] = largest_of(row, used) / 127;
        const Index first = u / two * two, side_by_side = width - first < two ? width - first : two;
        std::int32_t* to = packed + first * words_for<Int8>(depth) + (u - first);
        for (Index begin = 0; begin < depth; begin += exact_depth) {
            std::int32_t whole[exact_depth + lanes<float>] = {};
            const Index here = depth - begin < exact_depth ? depth - begin : exact_depth;
            if (used && scale > 0)
                each_vector(row + begin, here, [&](Vector<float> x, Index k) __attribute__((always_inline)) {
                    const Vector<float> value = x / broadcast<float>(scale);
                    const Words rounded = __builtin_convertvector(
                        value + (value < 0 ? broadcast<float>(-0.5f) : broadcast<float>(0.5f)), Words);
                    const Words bits = rounded & 0xff;
                    __builtin_memcpy(whole + k, &bits, sizeof bits);
                });
            const Index quarter = quarter_of(here);
            for (Index i = 0; i < quarter; ++i, to += side_by_side)
                *to = whole[i] | whole[i + quarter] << 8 | whole[i + 2 * quarter] << 16 |
                      whole[i + 3 * quarter] << 24;
        }
    }
}

// Rounds a vector to whole numbers, in words as the products take them: halves of even quarters and then of
// odd ones, or upper bytes of all four and then lower bits. Returns its scale.
inline float round_activations(Dots by, const float* from, Index depth, std::int32_t* words) {
    constexpr Index L = lanes<float>;
    constexpr float magic = 12582912;  // 1.5·2^23: a sum with it has the whole number in its last bits
    const float most = largest_of(from, depth);
    const bool is_finite = most == most;
    const Vector<float> scaled_by = broadcast<float>(most > 0 ? 2047 / most : 0);
    const Index quarter = quarter_of(depth);
    const auto whole = [&](Index first, Index i) {
        const Index at = first + i, end = first + quarter < depth ? first + quarter : depth;
        Vector<float> x{};
        if (is_finite && at + L <= end)
            x = load(from + at);
        else if (is_finite && at < end)
            x = Partial{end - at}.load(from + at);
        x = x * scaled_by + broadcast<float>(magic);
        Words bits;
        __builtin_memcpy(&bits, &x, sizeof bits);
        return bits - 0x4b400000;
    };
    for (Index i = 0; i < quarter; i += L) {
        const Words q[4] = {whole(0, i), whole(quarter, i), whole(2 * quarter, i), whole(3 * quarter, i)};
        Words both[2];
        if (by == Dots::bytes) {
            both[0] = both[1] = Words{};
            for (int byte = 0; byte < 4; ++byte) {
                both[0] |= ((q[byte] >> 4) & 0xff) << 8 * byte;
                both[1] |= (q[byte] & 15) << 8 * byte;
            }
        } else {
            for (int odd = 0; odd < 2; ++odd) both[odd] = (q[odd] & 0xffff) | (q[odd + 2] << 16);
        }
        const Index here = quarter - i < L ? quarter - i : L;
        for (int half = 0; half < 2; ++half)
            __builtin_memcpy(words + half * quarter + i, &both[half], here * sizeof(std::int32_t));
    }
    return most / 2047;
}

// A rounded row of activations: for each exact depth its scale, a line before the words.
constexpr Index words_of_scale = 16;
constexpr Index rounded_words(Index depth) {
    const Index rest = depth % exact_depth;
    return depth / exact_depth * (words_of_scale + 2 * quarter_of(exact_depth)) +
           (rest ? words_of_scale + 2 * quarter_of(rest) : 0);
}
inline void round_row(Dots by, const float* from, Index depth, std::int32_t* row) {
    for (Index begin = 0; begin < depth; begin += exact_depth) {
        const Index here = depth - begin < exact_depth ? depth - begin : exact_depth;
        const float scale = round_activations(by, from + begin, here, row + words_of_scale);
        __builtin_memcpy(row, &scale, sizeof scale);
        row += rounded_words(here);
    }
}

// sums[r] += scale of r · scale of the unit · Σ_k left(r, k) · weights[k], for V vectors, of which the
// words of the third and fourth lie `apart` behind the first's, and the sums `sums_apart`. Rows side by side
// share the widening of the weights.
template <Dots by, int R, int V>
[[gnu::noinline]] void multiply_words(Index quarter, const std::int32_t* left, Index left_stride,
                                      const std::int32_t* words, Index apart, const float* scales,
                                      float* sums, Index sums_apart, Index stride) {
    constexpr Index L = lanes<float>, width = (V < int8_vectors ? V : int8_vectors) * L;
    const std::int32_t* row[R];
    Words sum[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        row[r] = left + r * left_stride + words_of_scale;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] = Words{};
    }
    const auto load_words = [&](Index i, int v) __attribute__((always_inline)) {
        Halves both;
        __builtin_memcpy(&both, words + i * width + v / int8_vectors * apart + v % int8_vectors * L,
                         sizeof both);
        return both;
    };
    const auto as_words = [](Halves halves) __attribute__((always_inline)) {
        Words words;
        __builtin_memcpy(&words, &halves, sizeof words);
        return words;
    };
    if constexpr (by == Dots::bytes) {
        for (int part = 0; part < 2; ++part)  // upper bytes, and then lower bits
            for (Index i = 0; i < quarter; ++i) {
                Words weights[V];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) weights[v] = as_words(load_words(i, v));
#pragma GCC unroll 16
                for (int r = 0; r < R; ++r) {
                    const Words x = Words{} + row[r][part * quarter + i];
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) {
                        if (part == 1 && i == 0) sum[r][v] <<= 4;
                        add_products<by>(sum[r][v], weights[v], x);
                    }
                }
            }
    } else {
        for (Index i = 0; i < quarter; ++i) {
            Words even[V], odd[V];
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                const Halves both = load_words(i, v);
                even[v] = as_words((both << 8) >> 8);
                odd[v] = as_words(both >> 8);
            }
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const Words x = Words{} + row[r][i], y = Words{} + row[r][quarter + i];
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) {
                    add_products<by>(sum[r][v], even[v], x);
                    add_products<by>(sum[r][v], odd[v], y);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        float of_row;
        __builtin_memcpy(&of_row, left + r * left_stride, sizeof of_row);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            float* to = sums + r * stride + v / int8_vectors * sums_apart + v % int8_vectors * L;
            const Vector<float> scale = broadcast<float>(of_row) * load(scales + v * L);
            store(to, load(to) + __builtin_convertvector(sum[r][v], Vector<float>) * scale);
        }
    }
}

// As many rows as the registers hold the sums of.
constexpr int int8_rows = GATED_REGISTERS == 32 ? 12 : 4;
using MultiplyWords = void (*)(Index, const std::int32_t*, Index, const std::int32_t*, Index,
                               const float*, float*, Index, Index);
template <Dots by, int V>
GATED_INLINE MultiplyWords multiply_words_of(Index rows) {
    static constexpr auto of_height = []<int... r>(std::integer_sequence<int, r...>) {
        struct Table {
            MultiplyWords height[int8_rows];
        };
        return Table{{&multiply_words<by, r + 1, V>...}};
    }(std::make_integer_sequence<int, int8_rows>());
    return of_height.height[rows - 1];
}

// The products of rounded rows with the vectors of a panel, or of two panels one behind the other, whose
// sums lie `sums_apart`: of one row with four vectors at a time, since it waits for its sums; of more,
// which share each weight's widening, with two.
template <Dots by>
void multiply_int8_by(int vectors, Index rows, Index depth, const std::int32_t* left, Index left_stride,
                      const std::int32_t* panel, const float* scales, float* sums, Index stride,
                      Index sums_apart) {
    constexpr Index L = lanes<float>;
    const Index words = words_for<Int8>(depth);
    for (Index begin = 0; begin < depth; begin += exact_depth) {
        const Index here = depth - begin < exact_depth ? depth - begin : exact_depth;
        const auto multiply = [&](MultiplyWords product, Index r, int v, int count) {
            product(quarter_of(here), left + r * left_stride, left_stride,
                    panel + v * L * words + begin / 4 * count * L, int8_vectors * L * words,
                    scales + v * L, sums + r * stride + v * L, sums_apart, stride);
        };
        if (rows == 1 && vectors == 2 * int8_vectors) {
            multiply(multiply_words<by, 1, 2 * int8_vectors>, 0, 0, int8_vectors);
        } else {
            const Index tiles = (rows + int8_rows - 1) / int8_rows;
            for (int v = 0; v < vectors; v += int8_vectors)
                for (Index tile = 0, r = 0; tile < tiles; ++tile) {
                    const Index height = (rows - r + tiles - tile - 1) / (tiles - tile);
                    if (vectors - v < int8_vectors)
                        multiply(multiply_words_of<by, 1>(height), r, v, 1);
                    else
                        multiply(multiply_words_of<by, int8_vectors>(height), r, v, int8_vectors);
                    r += height;
                }
        }
        left += rounded_words(here);
    }
}
inline void multiply_int8(Dots by, int vectors, Index rows, Index depth, const std::int32_t* left,
                          Index left_stride, const std::int32_t* panel, const float* scales,
                          float* sums, Index stride,
                          Index sums_apart = int8_vectors * lanes<float>) {
    const auto multiply = by == Dots::portable ? &multiply_int8_by<Dots::portable>
                                               : &multiply_int8_by<hardware_dots>;
    multiply(vectors, rows, depth, left, left_stride, panel, scales, sums, stride, sums_apart);
}

}  // namespace gated::GATED_TARGET
