// Vectors of the instruction set being compiled: the compiler's own vector type, which has
// operators, compares and `mask ? a : b` on every processor. No intrinsics, so that one source
// serves x86-64, AVX2, AVX-512 and Arm.
//
// Everything here is in the instruction set's own namespace and inlined: a function that two
// instruction sets shared would be linked once, for the wrong processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#define GATED_INLINE [[gnu::always_inline]] inline

namespace gated::GATED_TARGET {

using Index = std::ptrdiff_t;

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(GATED_VECTOR_BYTES)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
constexpr Index lanes = GATED_VECTOR_BYTES / sizeof(T);

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

template <class T>
GATED_INLINE Vector<T> load(const T* from) {
    Vector<T> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class T>
GATED_INLINE void store(T* to, Vector<T> v) {
    __builtin_memcpy(to, &v, sizeof v);
}

template <class T>
GATED_INLINE Vector<T> broadcast(T x) {
    return [x]<std::size_t... lane>(std::index_sequence<lane...>) __attribute__((always_inline)) {
        return Vector<T>{(static_cast<void>(lane), x)...};
    }(std::make_index_sequence<lanes<T>>());
}

// Each lane of the result is the lane of `a`, or behind these of `b`, whose number `pick` gives.
template <class T, auto pick>
GATED_INLINE Vector<T> picked(Vector<T> a, Vector<T> b) {
    return [&]<std::size_t... lane>(std::index_sequence<lane...>) __attribute__((always_inline)) {
#if defined(__clang__)
        return __builtin_shufflevector(a, b, pick(Index(lane))...);
#else
        typedef Bits<T> Places __attribute__((vector_size(GATED_VECTOR_BYTES)));
        return __builtin_shuffle(a, b, Places{static_cast<Bits<T>>(pick(Index(lane)))...});
#endif
    }(std::make_index_sequence<lanes<T>>());
}

// Turns as many vectors as a vector has lanes around: lane k of vector i goes to lane i of vector k.
// First within 16 bytes, vectors `apart` interleaved, then whole 16 bytes change places: an
// instruction for each vector each time.
template <class T, Index quarter = 16 / Index(sizeof(T)), Index apart = quarter / 2>
GATED_INLINE void transpose(Vector<T> (&rows)[lanes<T>]) {
    constexpr Index L = lanes<T>;
    if constexpr (apart == L) {
        return;
    } else {
        for (Index i = 0; i < L; ++i) {
            if (i & apart) continue;
            const Vector<T> a = rows[i], b = rows[i + apart];
            if constexpr (apart < quarter) {
                rows[i] = picked<T, [](Index lane) {
                    return lane / quarter * quarter + lane % quarter / 2 + lane % 2 * L;
                }>(a, b);
                rows[i + apart] = picked<T, [](Index lane) {
                    return lane / quarter * quarter + lane % quarter / 2 + lane % 2 * L + quarter / 2;
                }>(a, b);
            } else {
                rows[i] = picked<T, [](Index lane) {
                    return lane & apart ? lane - apart + L : lane;
                }>(a, b);
                rows[i + apart] = picked<T, [](Index lane) {
                    return lane & apart ? lane + L : lane + apart;
                }>(a, b);
            }
        }
        transpose<T, quarter, apart == 1 ? quarter : apart < quarter ? apart / 2 : apart * 2>(rows);
    }
}

// Reads and writes a whole vector.
struct Whole {
    template <class T>
    GATED_INLINE Vector<T> load(const T* from) const {
        return GATED_TARGET::load(from);
    }
    template <class T>
    GATED_INLINE void store(T* to, Vector<T> v) const {
        GATED_TARGET::store(to, v);
    }
};

// Reads and writes the first `count` lanes, for the units behind the last whole vector.
struct Partial {
    Index count;

    template <class T>
    GATED_INLINE Vector<T> load(const T* from) const {
        Vector<T> v{};
        __builtin_memcpy(&v, from, count * sizeof(T));
        return v;
    }
    template <class T>
    GATED_INLINE void store(T* to, Vector<T> v) const {
        __builtin_memcpy(to, &v, count * sizeof(T));
    }
};

}  // namespace gated::GATED_TARGET
