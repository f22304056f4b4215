// The products of pairs of bfloat16, by everything that this processor has, against sums in double.
#include "pairs.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

using namespace gated::GATED_TARGET;
using gated::Pairs;

constexpr Index L = lanes<float>;
std::mt19937 random_bits(7);

float as_number(std::uint32_t bits) {
    float number;
    __builtin_memcpy(&number, &bits, sizeof number);
    return number;
}
double half(std::int32_t word, int which) {
    return as_number(std::uint32_t(word) >> 16 * which << 16);
}
bool is_tiny(double number) { return number != 0 && std::fabs(number) < 0x1p-126; }

// Wrong words among rounded activations of all bit patterns, at odd depths and even ones.
int wrong_words(Pairs by) {
    int wrong = 0;
    for (Index depth = 1; depth < 150; ++depth) {
        std::vector<float> from(depth + 1);
        for (Index k = 0; k < depth; ++k)
            from[k] = as_number(random_bits() & (k % 3 ? ~0u : 0xffff8000u));  // some are halfway
        std::vector<std::int32_t> words(words_for<BFloat16>(depth) + 1, 77);
        round_pairs(by, from.data(), depth, words.data());
        wrong += words.back() != 77;
        for (Index k = 0; k < depth + depth % 2; ++k) {
            const bool flushed = by != Pairs::portable && is_tiny(from[k]);
            const std::uint32_t expected = BFloat16::narrowed(flushed ? from[k] * 0 : from[k]);
            wrong += (std::uint32_t(words[k / 2]) >> k % 2 * 16 & 0xffff) != (expected & 0xffff);
        }
    }
    return wrong;
}

// Wrong sums of a panel: beyond the bound that pairs.h states, or other bits than of a row alone.
int wrong_sums(Pairs by, Tiles& tiles, int vectors, Index rows, Index words, int smallest) {
    const Index width = vectors * L, stride = width + 3, left_stride = words + rows % 3;
    std::normal_distribution<float> normal;
    const auto draw = [&](auto& numbers) {
        for (auto& number : numbers)
            number = std::ldexp(normal(random_bits), -int(random_bits() % unsigned(smallest)));
    };
    std::vector<float> weights(width * 2 * words), x(2 * words), sums(rows * stride);
    draw(weights), draw(sums);
    std::vector<std::int32_t> packed(width * words), left(rows * left_stride);
    pack_narrow<BFloat16>(weights.data(), width, vectors, 2 * words, packed.data());
    for (Index r = 0; r < rows; ++r) {
        draw(x);
        round_pairs(by, x.data(), 2 * words, &left[r * left_stride]);
    }
    const std::vector<float> before = sums;
    multiply_pairs(by, tiles, vectors, rows, words, left.data(), left_stride, packed.data(),
                   sums.data(), stride);
    int wrong = 0;
    for (Index r = 0; r < rows; ++r) {
        std::vector<float> alone(before.begin() + r * stride, before.begin() + (r + 1) * stride);
        multiply_pairs(by, tiles, vectors, 1, words, &left[r * left_stride], left_stride,
                       packed.data(), alone.data(), stride);
        for (Index u = 0; u < stride; ++u) {
            const float was = before[r * stride + u], is = sums[r * stride + u];
            double exact = was, size = std::fabs(was), tiny = is_tiny(was) ? size : 0;
            for (Index i = 0; u < width && i < 2 * words; ++i) {
                const double a = half(left[r * left_stride + i / 2], i % 2);
                const double w = half(packed[i / 2 * width + u], i % 2);
                exact += a * w;
                size += std::fabs(a * w);
                tiny += (is_tiny(a) || is_tiny(w) ? std::fabs(a * w) : 0) + 2 * 0x1p-126;
            }
            const double bound = 2 * words * 0x1p-24 * size + (by == Pairs::portable ? 0 : tiny);
            wrong += u < width ? !(std::fabs(is - exact) <= bound + 2 * words * 0x1p-149) : is != was;
            wrong += is != alone[u];
        }
    }
    return wrong;
}

// Wrong sums of three products of pairs for each of float32, beyond their bound.
int wrong_threefold_sums(Pairs by, Tiles& tiles, int vectors, Index rows, Index depth) {
    const Pairing how{true, true, by};
    const Index words = words_for<BFloat16>(depth), width = vectors * L, stride = width + 3;
    std::normal_distribution<float> normal;
    std::vector<float> weights(width * depth), x(rows * depth), sums(rows * stride, 0.5f);
    for (float& weight : weights) weight = normal(random_bits);
    for (float& value : x) value = normal(random_bits);
    std::vector<std::int32_t> packed(2 * width * words), left(2 * rows * words, 77);
    pack_narrow<BFloat16>(weights.data(), width, vectors, depth, packed.data());
    pack_narrow<BFloat16Rest>(weights.data(), width, vectors, depth, &packed[width * words]);
    for (Index r = 0; r < rows; ++r)
        round_pairing(how, &x[r * depth], depth, rows * words, &left[r * words]);
    multiply_pairing(how, tiles, vectors, rows, words, left.data(), rows * words, words, packed.data(),
                     width * words, sums.data(), stride);
    int wrong = 0;
    for (Index r = 0; r < rows; ++r)
        for (Index u = 0; u < width; ++u) {
            double exact = 0.5, size = 0;
            for (Index k = 0; k < depth; ++k) {
                const double product = double(x[r * depth + k]) * weights[u * depth + k];
                exact += product;
                size += std::fabs(product);
            }
            const double bound = 0x1p-14 * size + 6 * words * 0x1p-24 * (0.5 + 1.01 * size);
            wrong += !(std::fabs(sums[r * stride + u] - exact) <= bound);
        }
    return wrong;
}

// Wrong rests: too large, or not what is left, or there where no number is.
int wrong_rests(Pairs by) {
    const float numbers[] = {1, -1, 1.0001f, 3.1415927f, -2.7182818e-20f, 6.02e23f, 0, HUGE_VALF, NAN};
    constexpr Index count = std::size(numbers);
    std::vector<std::int32_t> words(2 * words_for<BFloat16>(count));
    round_pairing({true, true, by}, numbers, count, words_for<BFloat16>(count), words.data());
    int wrong = 0;
    for (Index k = 0; k < count; ++k) {
        const double number = half(words[k / 2], k % 2);
        const double rest = half(words[words_for<BFloat16>(count) + k / 2], k % 2);
        const double error = std::fabs(number + rest - numbers[k]);
        if (std::isfinite(numbers[k]))
            wrong += !(error <= 0x1p-16 * std::fabs(numbers[k]));
        else
            wrong += rest != 0 || !(std::isnan(numbers[k]) ? std::isnan(number) : number == numbers[k]);
    }
    return wrong;
}

// Wrong words among pairs of two rows, where the rows were, and among pairs down columns.
int wrong_pairs() {
    int wrong = 0;
    const auto word = [](float low, float high) {
        return std::int32_t(BFloat16::narrowed(low) | BFloat16::narrowed(high) << 16);
    };
    for (Index rows = 1; rows < 3 * L; ++rows)
        for (Index width : {Index(1), L - 1, L, 2 * L + 3, 4 * L}) {
            const Index padded = (width + L - 1) / L * L, stride = padded + 5;
            std::vector<float> from(rows * stride);
            for (float& number : from) number = as_number(random_bits());
            const auto at = [&](Index r, Index u) { return r < rows ? from[r * stride + u] : 0; };

            const Index words = (rows + 1) / 2, apart = words + rows % 3;
            std::vector<std::int32_t> columns(width * apart + 1, 77);
            pair_columns(from.data(), rows, width, stride, columns.data(), apart);
            wrong += columns.back() != 77;
            for (Index u = 0; u < width; ++u)
                for (Index w = 0; w < apart; ++w)
                    wrong += columns[u * apart + w] !=
                             (w < words ? word(at(2 * w, u), at(2 * w + 1, u)) : 77);

            for (Index r = 0; r < rows; r += 2) {
                std::vector<std::int32_t> expected(padded), found(padded);
                for (Index u = 0; u < padded; ++u) expected[u] = word(at(r, u), at(r + 1, u));
                float* upper = &from[r * stride];
                pair_rows(upper, r + 1 < rows ? upper + stride : nullptr, padded,
                          reinterpret_cast<std::int32_t*>(upper));
                __builtin_memcpy(found.data(), upper, padded * sizeof *upper);
                wrong += found != expected;
            }
        }
    return wrong;
}

}  // namespace

int main() {
    const char* names[] = {"portable", "avx512_bf16", "amx"};
    int all_wrong = 0;
    for (int by = 0; by <= int(gated::pairs_available()); ++by) {
        Tiles tiles;
        int wrong = wrong_words(Pairs(by)) + wrong_pairs() + wrong_rests(Pairs(by));
        for (int vectors = 1; vectors <= 4; ++vectors)
            for (Index rows : {1, 5, 17})
                for (Index depth : {1, 2, 31, 140, 513})
                    wrong += wrong_threefold_sums(Pairs(by), tiles, vectors, rows, depth);
        for (int vectors = 1; vectors <= 4; ++vectors)
            for (Index rows : {1, 2, 7, 16, 17, 65})
                for (Index words : {1, 2, 15, 16, 33, 70, 260})
                    for (int smallest : {20, 140})
                        wrong += wrong_sums(Pairs(by), tiles, vectors, rows, words, smallest);
        std::printf("%s: %d wrong\n", names[by], wrong);
        all_wrong += wrong;
    }
    return all_wrong != 0;
}
