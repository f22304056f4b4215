// The products of whole numbers, by everything that this processor has, against sums of 64 bits: every bit.
//
// On a processor with AVX2 alone, vpdpwssd of AVX-VNNI is carried out by a handler of the signal that it
// raises there: so its encoding and its operands are checked too.
#include "int8.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#if defined(__AVX2__) && !defined(__AVX512F__) && defined(__linux__)
#include <signal.h>
#include <ucontext.h>
#define GATED_CARRIES_OUT
#endif

namespace {

using namespace gated::GATED_TARGET;
using gated::Dots;

constexpr Index L = lanes<float>;
std::mt19937 random_bits(7);

#ifdef GATED_CARRIES_OUT
long carried_out = 0;

// The lower or upper half of a register, where the kernel has put it.
std::int32_t* half_of(ucontext_t* state, int number, int upper) {
    constexpr std::size_t lower_halves = 160, upper_halves = 576;  // of the standard form of XSAVE
    char* saved = reinterpret_cast<char*>(state->uc_mcontext.fpregs);
    return reinterpret_cast<std::int32_t*>(saved + (upper ? upper_halves : lower_halves) + 16 * number);
}

void carry_out(int, siginfo_t*, void* context) {
    auto* state = static_cast<ucontext_t*>(context);
    greg_t& next = state->uc_mcontext.gregs[REG_RIP];
    const auto* code = reinterpret_cast<const std::uint8_t*>(next);
    constexpr int map_0f38 = 2, bits_256_after_66 = 5, registers_alone = 3;
    if (code[0] != 0xc4 || (code[1] & 31) != map_0f38 || (code[2] & 0x87) != bits_256_after_66 ||
        code[3] != 0x52 || code[4] >> 6 != registers_alone) {
        signal(SIGILL, SIG_DFL);
        return;
    }
    const int sum = (code[4] >> 3 & 7) | (code[1] & 0x80 ? 0 : 8);
    const int right = (code[4] & 7) | (code[1] & 0x20 ? 0 : 8);
    const int left = ~code[2] >> 3 & 15;
    for (int upper = 0; upper < 2; ++upper)
        for (int lane = 0; lane < 4; ++lane) {
            const std::int32_t a = half_of(state, left, upper)[lane];
            const std::int32_t b = half_of(state, right, upper)[lane];
            half_of(state, sum, upper)[lane] +=
                std::int16_t(a) * std::int16_t(b) + (a >> 16) * (b >> 16);
        }
    next += 5;
    ++carried_out;
}

void carry_out_what_is_missing() {
    struct sigaction action {};
    action.sa_sigaction = &carry_out;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, nullptr);
}
#endif

bool has_hardware_dots() {
    if (hardware_dots == Dots::bytes) return gated::has_sdot();
    if (hardware_dots == Dots::portable) return false;
    return GATED_VECTOR_BYTES == 64 ? gated::has_avx512_vnni() : gated::has_avx_vnni();
}

// Weights and activations of one panel. Some are as large as they can be, all with one sign.
struct Numbers {
    Index rows, depth;
    int vectors;
    std::vector<float> weights, x, scales;
    std::vector<std::int32_t> packed;

    Numbers(int vectors, Index rows, Index depth, bool largest)
        : rows(rows), depth(depth), vectors(vectors), weights(vectors * L * depth), x(rows * depth),
          scales(vectors * L), packed(vectors * L * words_for<Int8>(depth)) {
        std::normal_distribution<float> normal;
        for (float& weight : weights) weight = largest ? 1 : normal(random_bits);
        for (float& value : x) value = largest ? -2 : normal(random_bits);
        pack_int8(weights.data(), vectors * L, vectors, depth, scales.data(), packed.data());
    }

    // Whether a sum is that of a row's products with a unit, as int8.h defines it, and what was there.
    bool is_right(float is, Index r, Index u, float before) const {
        float most_of_unit = 0;
        for (Index k = 0; k < depth; ++k)
            most_of_unit = std::max(most_of_unit, std::fabs(weights[u * depth + k]));
        double expected = before, size = before;
        for (Index begin = 0; begin < depth; begin += exact_depth) {
            const Index end = std::min(begin + exact_depth, depth);
            float most = 0;
            for (Index k = begin; k < end; ++k) most = std::max(most, std::fabs(x[r * depth + k]));
            long sum = 0;
            for (Index k = begin; k < end; ++k) {
                const float shifted = x[r * depth + k] * (2047 / most) + 0x1.8p23f;  // fused as there
                sum += std::lround(weights[u * depth + k] / (most_of_unit / 127)) * long(shifted - 0x1.8p23f);
            }
            expected += double(sum) * most / 2047 * most_of_unit / 127;
            size += std::fabs(double(sum) * most / 2047 * most_of_unit / 127);
        }
        return std::fabs(is - expected) <= 1e-6 * size;
    }
};

// Sums that are not what they are by definition, or not the very bits that the portable code has.
int wrong_sums(const Numbers& of, Dots by, bool slow) {
    const Index rows = of.rows, width = of.vectors * L, stride = width + 3;
    std::vector<float> sums(rows * stride, 0.5f), portable = sums;
    const auto multiply = [&](Dots by, std::vector<float>& sums) {
        std::vector<std::int32_t> left(rows * rounded_words(of.depth));
        for (Index r = 0; r < rows; ++r)
            round_row(by, &of.x[r * of.depth], of.depth, &left[r * rounded_words(of.depth)]);
        multiply_int8(by, of.vectors, rows, of.depth, left.data(), rounded_words(of.depth),
                      of.packed.data(), of.scales.data(), sums.data(), stride);
    };
    multiply(by, sums);
    multiply(Dots::portable, portable);
    int wrong = std::memcmp(sums.data(), portable.data(), sums.size() * sizeof(float)) != 0;
    for (Index r = 0; r < rows; ++r)
        for (Index u = 0; u < stride; u += slow && u + 7 < width ? 7 : 1) {
            const float is = sums[r * stride + u];
            wrong += u < width ? !of.is_right(is, r, u, 0.5f) : is != 0.5f;
        }
    return wrong;
}

}  // namespace

int main() {
    int all_wrong = 0;
    for (const Dots by : {Dots::portable, hardware_dots}) {
        const bool missing = by != Dots::portable && !has_hardware_dots();
        if (by != Dots::portable && hardware_dots == Dots::portable) continue;
#ifdef GATED_CARRIES_OUT
        if (missing) carry_out_what_is_missing();
#else
        if (missing) continue;
#endif
        int wrong = 0;
        for (int vectors = 1; vectors <= 4; ++vectors)
            for (Index rows : {1, 2, 4, 5, 13})
                for (Index depth : {1, 2, 3, 4, 7, 64, 133, 1024, 1030}) {
                    if (missing && depth > 64 && rows > 2) continue;  // each a signal
                    for (const bool largest : {false, true})
                        wrong += wrong_sums(Numbers(vectors, rows, depth, largest), by, depth > 200);
                }
        const char* names[] = {"portable", "halves", "bytes"};
        std::printf("%s: %d wrong%s\n", names[int(by)], wrong, missing ? ", emulated" : "");
        all_wrong += wrong;
    }
#ifdef GATED_CARRIES_OUT
    if (!has_hardware_dots() && carried_out == 0) return 1;
#endif
    return all_wrong != 0;
}
