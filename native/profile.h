// Where the time of calls goes, in builds that ask (CMake: GATED_PROFILE); in others this is nothing.
//
// Each thread is in one phase at a time: GATED_TIMED(phase) opens one until the end of its scope, and
// halts the phase around it meanwhile.
#pragma once

#ifndef GATED_PROFILE
#define GATED_TIMED(phase)
#else
#include <atomic>
#include <cstdint>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <chrono>
#endif

#define GATED_TIMED(phase) const ::gated::Timed timed_##phase(::gated::Phase::phase)

namespace gated {

enum class Phase {
    elsewhere,       // between calls, and whatever has no name here
    packing,         // weights laid out for the products, sums cleared
    copying,         // rows copied for a product, biases put under sums, states handed over
    input_product,   // activations by weight_ih, for many steps at once; and its gradient's way back
    hidden_product,  // the recurrent one, step by step; and its gradient's way back
    pointwise,       // gates, states and what normalises them
    weight_gradient,
    waiting,         // for other threads
    count,
};

inline std::atomic<std::uint64_t> ticks_of_phase[static_cast<int>(Phase::count)];

inline std::uint64_t ticks() {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return std::uint64_t(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

class Timed {
public:
    explicit Timed(Phase phase) : before_(current) {
        settle();
        current = phase;
    }
    ~Timed() {
        settle();
        current = before_;
    }
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;

private:
    static inline thread_local Phase current = Phase::elsewhere;
    static inline thread_local std::uint64_t since = 0;
    const Phase before_;

    static void settle() {
        const std::uint64_t now = ticks();
        ticks_of_phase[static_cast<int>(current)].fetch_add(now - since, std::memory_order_relaxed);
        since = now;
    }
};

}  // namespace gated
#endif
