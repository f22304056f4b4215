// What the processor could do: the bound that benchmarks compare with.
#pragma once

#include "simd.h"
#include "threads.h"

namespace gated::GATED_TARGET {

// Multiplies and adds in registers alone, as many chains as a tile has sums. Returns the
// multiplications and additions done by the whole team.
[[gnu::noinline]] inline double multiply_in_registers(Index rounds, float x, float y) {
    constexpr int chains = GATED_REGISTERS == 32 ? 24 : 12;
    Vector<float> sums[chains];
    const Vector<float> factor = broadcast<float>(x), addend = broadcast<float>(y);
#pragma GCC unroll 32
    for (int c = 0; c < chains; ++c) sums[c] = broadcast<float>(float(c));
    for (Index round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
        for (int c = 0; c < chains; ++c) sums[c] = sums[c] * factor + addend;
    }
    Vector<float> total = sums[0];
#pragma GCC unroll 32
    for (int c = 1; c < chains; ++c) total += sums[c];
    // The sums settle at y / (1 - x); using them keeps the compiler from leaving them out.
    return total[0] == total[0] ? 2.0 * chains * lanes<float> * double(rounds) : 0.0;
}

// Reads an array through, again and again; returns a sum, so that nothing is left out.
[[gnu::noinline]] inline float read_through(const float* data, Index count, Index rounds) {
    constexpr int chains = 8;
    Vector<float> sums[chains]{};
    for (Index round = 0; round < rounds; ++round)
        for (Index i = 0; i + chains * lanes<float> <= count; i += chains * lanes<float>)
#pragma GCC unroll 8
            for (int c = 0; c < chains; ++c) sums[c] += load(data + i + c * lanes<float>);
    float total = 0;
    for (int c = 0; c < chains; ++c)
        for (Index lane = 0; lane < lanes<float>; ++lane) total += sums[c][lane];
    return total;
}

inline double probe(Index rounds, Team& team) {
    struct Work {
        Index rounds;
        double done;
    } work{rounds, 0};
    team.run(
        [](void* context, int part) {
            Work& work = *static_cast<Work*>(context);
            const double done = multiply_in_registers(work.rounds, 0.999f, 0.001f);
            if (part == 0) work.done = done;
        },
        &work);
    return work.done * team.size();
}

}  // namespace gated::GATED_TARGET
