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

// How much of its old value each of the units `first` to `last` - 1 keeps, in 0…1. `state` is 0 for
// the hidden state, 1 for the cell state.
template <class T>
[[gnu::noinline]] void kept_by_zoneout(const Zoneout& zoneout, int state, Index time,
                                       Index sequence, Index first, Index last, T* kept) {
    const double probability = state == 0 ? zoneout.hidden : zoneout.cell;
    if (!zoneout.samples || probability >= 1) {
        for (Index u = first; u < last; ++u) kept[u] = T(probability);
        return;
    }
    const std::uint64_t place = (std::uint64_t(sequence) << 32) + std::uint64_t(time) + 1;
    const std::uint64_t key =
        mixed(mixed(zoneout.seed + 0x9E3779B97F4A7C15u * place) + std::uint64_t(state));
    const auto low = std::uint32_t(key), high = std::uint32_t(key >> 32);
    const auto below = std::uint32_t(probability * 4294967296.0);
    for (Index u = first; u < last; ++u) {
        std::uint32_t x = std::uint32_t(u) * 0x9E3779B1u + low;
        x = (x ^ x >> 16) * 0x7FEB352Du;
        x = (x ^ x >> 15) * 0x846CA68Bu;
        x = x ^ x >> 16 ^ high;
        kept[u] = x < below ? T(1) : T(0);
    }
}

// state = kept · before + (1 - kept) · state
template <class T>
[[gnu::noinline]] void zone_out(const T* kept, const T* before, Index first, Index last, T* state) {
    for (Index u = first; u < last; ++u) state[u] = kept[u] * before[u] + (T(1) - kept[u]) * state[u];
}

// The gradient of the state before zoneout, in place; what flows past the step goes to `around`.
template <class T>
[[gnu::noinline]] void zone_out_back(const T* kept, Index first, Index last, T* grad, T* around) {
    for (Index u = first; u < last; ++u) {
        around[u] = kept[u] * grad[u];
        grad[u] = (T(1) - kept[u]) * grad[u];
    }
}

}  // namespace gated::GATED_TARGET
