// Products of whole numbers: weights in eight bits by activations in twelve.
//
// A unit's weights have one scale, and an activation vector has one for the step: w = scale·q with q
// from -127 to 127, x = scale·q with q from -2047 to 2047. Their products are summed up exactly, so
// that the order of the sums, and with it the processor, the batch and the threads, make no difference;
// the sum then is multiplied by both scales and added to what is there.
//
// Four weights of a unit share a word: those of k = i, i + Q, i + 2Q and i + 3Q, Q being a quarter of
// the depth, so that whole vectors of activations are put side by side as the products need them.
#pragma once

#include "stored.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace gated::GATED_TARGET {

typedef std::int16_t Halves __attribute__((vector_size(GATED_VECTOR_BYTES)));

// As many as can be summed in 32 bits: 8192·127·2047 is less than 2^31.
constexpr Index exact_depth = 8192;
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

// Packs a panel of rows of `depth` values: [word][vector][lane], and a scale for each unit.
inline void pack_int8(const float* rows, Index real, int vectors, Index depth, float* scales,
                      std::int32_t* packed) {
    const Index width = vectors * lanes<float>;
    for (Index u = 0; u < width; ++u) {
        const float* row = rows + u * depth;
        float most = 0, nothing = 0;  // no number where a weight is infinite or none
        for (Index k = 0; u < real && k < depth; ++k) {
            const float size = row[k] < 0 ? -row[k] : row[k];
            most = size > most ? size : most;
            nothing += size - size;
        }
        const float scale = scales[u] = most / 127 + nothing;
        for (Index begin = 0; begin < depth; begin += exact_depth) {
            const Index here = depth - begin < exact_depth ? depth - begin : exact_depth;
            const Index quarter = quarter_of(here);
            for (Index i = 0; i < quarter; ++i) {
                std::uint32_t bits = 0;
                for (int part = 0; part < 4; ++part) {
                    const Index k = i + part * quarter;
                    if (k >= here || !(scale > 0)) continue;
                    const float value = row[begin + k] / scale;
                    bits |= (std::uint32_t(std::int32_t(value < 0 ? value - 0.5f : value + 0.5f)) &
                             0xff) << 8 * part;
                }
                packed[(begin / 4 + i) * width + u] = std::int32_t(bits);
            }
        }
    }
}

// Rounds a vector to whole numbers, two to a word as the products take them: first the words of even
// quarters, then those of odd ones. Returns its scale.
inline float round_activations(const float* from, Index depth, std::int32_t* words) {
    constexpr Index L = lanes<float>;
    constexpr float magic = 12582912;  // 1.5·2^23: a sum with it has the whole number in its last bits
    Vector<float> largest{}, nothings{};
    const auto larger = [&](Vector<float> x) {
        const Vector<float> size = x < 0 ? -x : x;
        largest = size > largest ? size : largest;
        nothings += x - x;
    };
    Index k = 0;
    for (; k + L <= depth; k += L) larger(load(from + k));
    if (k < depth) larger(Partial{depth - k}.load(from + k));
    float most = 0, nothing = 0;  // no number where an activation is infinite or none
    for (Index lane = 0; lane < L; ++lane) {
        most = largest[lane] > most ? largest[lane] : most;
        nothing += nothings[lane];
    }
    const bool is_finite = nothing == 0;
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
    for (int odd = 0; odd < 2; ++odd)
        for (Index i = 0; i < quarter; i += L) {
            const Words words_of = (whole(odd * quarter, i) & 0xffff) |
                                   (whole((odd + 2) * quarter, i) << 16);
            std::int32_t* to = words + odd * quarter + i;
            const Index here = quarter - i < L ? quarter - i : L;
            __builtin_memcpy(to, &words_of, here * sizeof(std::int32_t));
        }
    return most / 2047 + nothing;
}

// sums[r] += scale of r · scale of the unit · Σ_k left(r, k) · weights[k].
template <int R, int V>
[[gnu::noinline]] void multiply_words(Index quarter, const std::int32_t* const* left,
                                      const float* left_scales, const std::int32_t* words,
                                      const float* scales, float* const* sums) {
    constexpr Index L = lanes<float>;
    Words sum[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] = Words{};
    for (Index i = 0; i < quarter; ++i, words += V * L) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            Halves both;
            __builtin_memcpy(&both, words + v * L, sizeof both);
            const Halves lower = (both << 8) >> 8, upper = both >> 8;
            Words even, odd;
            __builtin_memcpy(&even, &lower, sizeof even);
            __builtin_memcpy(&odd, &upper, sizeof odd);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
                sum[r][v] += multiply_halves(even, Words{} + left[r][i]) +
                             multiply_halves(odd, Words{} + left[r][quarter + i]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            float* to = sums[r] + v * L;
            const Vector<float> scale = broadcast<float>(left_scales[r]) * load(scales + v * L);
            store(to, load(to) + __builtin_convertvector(sum[r][v], Vector<float>) * scale);
        }
}

// Rows side by side share the widening of the weights.
constexpr int int8_rows = 2;
template <int R>
GATED_INLINE void multiply_words_of(int vectors, Index quarter, const std::int32_t* const* left,
                                    const float* left_scales, const std::int32_t* words,
                                    const float* scales, float* const* sums) {
    switch (vectors) {
        case 1: return multiply_words<R, 1>(quarter, left, left_scales, words, scales, sums);
        case 2: return multiply_words<R, 2>(quarter, left, left_scales, words, scales, sums);
        case 3: return multiply_words<R, 3>(quarter, left, left_scales, words, scales, sums);
        default: return multiply_words<R, 4>(quarter, left, left_scales, words, scales, sums);
    }
}

// The products of some rows with the panels of `blocks` blocks: `words(b)` and `scales(b)` say where a
// panel is, `sums(b)` where its sums in the first row are.
template <class Words_, class Scales, class Sums>
void multiply_int8(int vectors, Index blocks, Index rows, Index depth, const float* const* left,
                   const Words_& words, const Scales& scales, const Sums& sums, Index stride) {
    const Index width = vectors * lanes<float>;
    alignas(64) std::int32_t whole[int8_rows][2 * quarter_of(exact_depth)];
    for (Index r = 0; r < rows; r += int8_rows)
        for (Index begin = 0; begin < depth; begin += exact_depth) {
            const Index here = depth - begin < exact_depth ? depth - begin : exact_depth;
            const std::int32_t* of[int8_rows];
            float left_scales[int8_rows], *to[int8_rows];
            const int count = rows - r < int8_rows ? int(rows - r) : int8_rows;
            for (int i = 0; i < count; ++i) {
                of[i] = whole[i];
                left_scales[i] = round_activations(left[r + i] + begin, here, whole[i]);
            }
            for (Index b = 0; b < blocks; ++b) {
                for (int i = 0; i < count; ++i) to[i] = sums(b) + (r + i) * stride;
                const std::int32_t* panel = words(b) + begin / 4 * width;
                if (count == int8_rows)
                    multiply_words_of<int8_rows>(vectors, quarter_of(here), of, left_scales, panel,
                                                 scales(b), to);
                else
                    multiply_words_of<1>(vectors, quarter_of(here), of, left_scales, panel, scales(b),
                                         to);
            }
        }
}

}  // namespace gated::GATED_TARGET
