// The product at the heart of a step: rows of activations by packed weights, added to what is
// there.
//
// Weights are packed in panels of V vectors, for one row of activations [k][vector][lane], so that
// a tile of R rows by V vectors stays in registers over the whole of k. The vectors of a panel
// interleave the gates of the same units: when a tile is done, all the gates of its units are.
#pragma once

#include <utility>

#include "simd.h"

namespace gated::GATED_TARGET {

// Sums that fill the registers and leave room for a row of weights and an activation.
template <int V>
constexpr int tile_rows = (GATED_REGISTERS == 32 ? 24 : 12) / V;

// The part of k that a panel is walked in: its weights stay in the first cache for all rows.
template <class T, int V>
constexpr Index tile_depth = 16384 / (V * GATED_VECTOR_BYTES);

// sums[r] += Σ_k rows[r][k] · weights[k], for k from 0 to depth - 1. A function of its own, since
// registers spill as soon as anything else is inlined beside it.
template <class T, int R, int V>
[[gnu::noinline]] void multiply_tile(Index depth, const T* const* rows, Index first,
                                     const T* __restrict weights, T* __restrict sums,
                                     Index stride) {
    Vector<T> sum[R][V];
    const T* row[R];
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
        row[r] = rows[r] + first;
#pragma GCC unroll 32
        for (int v = 0; v < V; ++v) sum[r][v] = load(sums + r * stride + v * lanes<T>);
    }
    for (Index k = 0; k < depth; ++k) {
        if constexpr (R < V) {  // hold what there is less of
            Vector<T> x[R];
#pragma GCC unroll 32
            for (int r = 0; r < R; ++r) x[r] = broadcast<T>(row[r][k]);
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) {
                const Vector<T> w = load(weights + v * lanes<T>);
#pragma GCC unroll 32
                for (int r = 0; r < R; ++r) sum[r][v] += x[r] * w;
            }
        } else {
            Vector<T> w[V];
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) w[v] = load(weights + v * lanes<T>);
#pragma GCC unroll 32
            for (int r = 0; r < R; ++r) {
                const Vector<T> x = broadcast<T>(row[r][k]);
#pragma GCC unroll 32
                for (int v = 0; v < V; ++v) sum[r][v] += x * w[v];
            }
        }
        weights += V * lanes<T>;
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < V; ++v) store(sums + r * stride + v * lanes<T>, sum[r][v]);
}

// The same for any number of rows, in tiles as equal as they can be: a tile of one row leaves the
// multipliers idle, two tiles of two do not.
template <class T, int V>
GATED_INLINE void multiply_rows(Index count, Index depth, const T* const* rows, const T* weights,
                                T* sums, Index stride) {
    using Tile = void (*)(Index, const T* const*, Index, const T*, T*, Index);
    static constexpr auto of_height = []<int... r>(std::integer_sequence<int, r...>) {
        struct Table {
            Tile tile[tile_rows<V>];
        };
        return Table{{&multiply_tile<T, r + 1, V>...}};
    }(std::make_integer_sequence<int, tile_rows<V>>());
    const Index tiles = (count + tile_rows<V> - 1) / tile_rows<V>;
    const Index most = tiles > 1 ? tile_depth<T, V> : depth;
    for (Index k = 0; k < depth; k += most) {
        const Index here = depth - k < most ? depth - k : most;
        for (Index tile = 0, r = 0; tile < tiles; ++tile) {
            const Index height = (count - r + tiles - tile - 1) / (tiles - tile);
            of_height.tile[height - 1](here, rows + r, k, weights + k * V * lanes<T>,
                                       sums + r * stride, stride);
            r += height;
        }
    }
}

// Where a packed weight comes from: the gate and the unit of each lane of a panel.
template <int V, int gates>
struct Panels {
    static constexpr int groups = V / gates;  // vectors of units side by side in a panel

    template <class T>
    static constexpr Index units = groups * lanes<T>;  // in a panel

    template <class T>
    static Index count(Index all_units) {
        return (all_units + units<T> - 1) / units<T>;
    }

    // Packs panels `first` to `last` - 1 of the matrix (gates·all_units, depth); the gate in place
    // g of the panel is gate order[g] of the matrix. Missing units are zeros.
    template <class T>
    static void pack(const T* matrix, Index all_units, Index depth, const int* order, Index first,
                     Index last, T* packed) {
        constexpr Index L = lanes<T>;
        for (Index p = first; p < last; ++p)
            for (int v = 0; v < V; ++v) {
                const Index unit = p * units<T> + v / gates * L;
                const Index real = unit >= all_units ? 0 : unit + L > all_units ? all_units - unit : L;
                const T* from = matrix + (order[v % gates] * all_units + unit) * depth;
                T* to = packed + (p * depth * V + v) * L;
                for (Index k = 0; k < depth; ++k, to += V * L) {
                    for (Index lane = 0; lane < real; ++lane) to[lane] = from[lane * depth + k];
                    for (Index lane = real; lane < L; ++lane) to[lane] = 0;
                }
            }
    }
};

}  // namespace gated::GATED_TARGET
