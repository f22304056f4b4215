// Zoneout (Krueger et al. 2017): units of a state that keep their old value.
//
// Whether one does is a hash of the seed, the state, the time, the sequence and the unit, so that
// the way back draws the same without keeping anything, and so does gated.core.variants.
#pragma once

#include "rnn.h"
#include "simd.h"

namespace gated::GATED_TARGET {

GATED_INLINE std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

// How much of its old value each of `count` units from `first` on keeps, in 0…1.
template <class T>
[[gnu::noinline]] void kept_by_zoneout(const Zoneout& zoneout, int state, Index time,
                                       Index sequence, Index first, Index count, T* kept) {
    const double probability = zoneout.probabilities[state];
    if (!zoneout.samples || probability >= 1) {
        for (Index u = 0; u < count; ++u) kept[u] = T(probability);
        return;
    }
    const std::uint64_t place = (std::uint64_t(sequence) << 32) + std::uint64_t(time) + 1;
    const std::uint64_t key =
        mixed(mixed(zoneout.seed + 0x9E3779B97F4A7C15u * place) + std::uint64_t(state));
    const auto low = std::uint32_t(key), high = std::uint32_t(key >> 32);
    const auto below = std::uint32_t(probability * 4294967296.0);
    for (Index u = 0; u < count; ++u) {
        std::uint32_t x = std::uint32_t(first + u) * 0x9E3779B1u + low;
        x = (x ^ x >> 16) * 0x7FEB352Du;
        x = (x ^ x >> 15) * 0x846CA68Bu;
        x = x ^ x >> 16 ^ high;
        kept[u] = x < below ? T(1) : T(0);
    }
}

}  // namespace gated::GATED_TARGET
