// The product at the heart of a step: rows of activations by packed weights, added to what is
// there.
//
// Weights are packed in panels of V vectors, for one row of activations [k][vector][lane], so that
// a tile of R rows by V vectors stays in registers over the whole of k. A panel has up to `plain_vectors`
// vectors of units of one gate; those of the other gates lie behind it.
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

// Activations that lie along the rows of an array, anywhere: row r, column k.
template <class T>
struct AlongRows {
    const T* const* rows;
    Index first;

    template <int R>
    struct Tile {
        const T* row[R];
        GATED_INLINE T at(int r, Index k) const { return row[r][k]; }
    };
    template <int R>
    GATED_INLINE Tile<R> tile() const {
        Tile<R> tile;
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r) tile.row[r] = rows[r] + first;
        return tile;
    }
    AlongRows below(Index r) const { return {rows + r, first}; }
    AlongRows behind(Index k) const { return {rows, first + k}; }
};

// The same for rows at even distances.
template <class T>
struct EvenRows {
    const T* data;
    Index stride;

    template <int R>
    struct Tile {
        const T* data;
        Index stride;
        GATED_INLINE T at(int r, Index k) const { return data[r * stride + k]; }
    };
    template <int R>
    GATED_INLINE Tile<R> tile() const {
        return {data, stride};
    }
    EvenRows below(Index r) const { return {data + r * stride, stride}; }
    EvenRows behind(Index k) const { return {data + k, stride}; }
};

// Activations that lie down the columns of an array: row k, column r.
template <class T>
struct DownColumns {
    const T* data;
    Index stride;

    template <int R>
    struct Tile {
        const T* data;
        Index stride;
        GATED_INLINE T at(int r, Index k) const { return data[k * stride + r]; }
    };
    template <int R>
    GATED_INLINE Tile<R> tile() const {
        return {data, stride};
    }
    DownColumns below(Index r) const { return {data + r, stride}; }
    DownColumns behind(Index k) const { return {data + k * stride, stride}; }
};

// Values in a line of the caches.
template <class T>
constexpr Index line = 64 / Index(sizeof(T));

// What a tile does for each of its sums. In pairs.h a weight is a pair, and so is an activation.
template <class T, class Weight>
struct Products {
    GATED_INLINE static void add(Vector<T>& sum, Vector<Weight> x, Vector<Weight> w) { sum += x * w; }
};

// sums[r] += Σ_k left(r, k) · weights[k], for k from 0 to depth - 1 ≥ 0; where they are the `first`
// sums, whatever was there. With each k, `fetched` bytes more of what lies `ahead` come to the caches. A
// function of its own, since registers spill as soon as anything else is inlined beside it.
template <class T, int R, int V, class Left, class Weight>
[[gnu::noinline]] void multiply_tile(Index depth, const Left& from, const Weight* __restrict weights,
                                     T* __restrict sums, Index stride, bool first,
                                     const char* ahead, Index fetched) {
    using Product = Products<T, Weight>;
    const auto left = from.template tile<R>();
    Vector<T> sum[R][V];
    if (first) {
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) sum[r][v] = Vector<T>{};
    } else {
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) sum[r][v] = load(sums + r * stride + v * lanes<T>);
    }
    Index k = 0;
    do {  // at least once: a loop that may not run keeps all sums in memory too
        if constexpr (R < V) {  // hold what there is less of
            Vector<Weight> x[R];
#pragma GCC unroll 32
            for (int r = 0; r < R; ++r) x[r] = broadcast<Weight>(left.at(r, k));
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) {
                const Vector<Weight> w = load(weights + v * lanes<T>);
#pragma GCC unroll 32
                for (int r = 0; r < R; ++r) Product::add(sum[r][v], x[r], w);
            }
        } else {
            Vector<Weight> w[V];
#pragma GCC unroll 32
            for (int v = 0; v < V; ++v) w[v] = load(weights + v * lanes<T>);
#pragma GCC unroll 32
            for (int r = 0; r < R; ++r) {
                const Vector<Weight> x = broadcast<Weight>(left.at(r, k));
#pragma GCC unroll 32
                for (int v = 0; v < V; ++v) Product::add(sum[r][v], x, w[v]);
            }
        }
        weights += V * lanes<T>;
        __builtin_prefetch(ahead, 0, 2);
        ahead += fetched;
    } while (++k < depth);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 32
        for (int v = 0; v < V; ++v) store(sums + r * stride + v * lanes<T>, sum[r][v]);
}

// Whether weights of so many bytes are more than a core's own caches keep from one step to the next.
constexpr bool come_from_afar(Index bytes) { return bytes > Index{384} << 10; }

// multiply_tile for any number of rows, in tiles as equal as they can be: a tile of one row leaves the
// multipliers idle, two tiles of two do not. A part of the panel is used by all rows while it is in
// the first cache; where panels come `from_afar`, the next part, which lies behind it, comes to the
// second cache meanwhile, a little with each k: many lines at once would wait for one another.
template <class T, int V, class Left, class Weight>
GATED_INLINE void multiply(Index rows, Index depth, const Left& left, const Weight* weights, T* sums,
                           Index stride, bool from_afar = false, bool first = false) {
    using Tile = void (*)(Index, const Left&, const Weight*, T*, Index, bool, const char*, Index);
    static constexpr auto of_height = []<int... r>(std::integer_sequence<int, r...>) {
        struct Table {
            Tile tile[tile_rows<V>];
        };
        return Table{{&multiply_tile<T, r + 1, V, Left, Weight>...}};
    }(std::make_integer_sequence<int, tile_rows<V>>());
    constexpr Index width = V * lanes<T>;
    if (rows == 0) return;
    const Index tiles = (rows + tile_rows<V> - 1) / tile_rows<V>;
    const Index most = tiles > 1 ? tile_depth<T, V> : depth;
    for (Index k = 0; k < depth; k += most) {
        const Index here = depth - k < most ? depth - k : most;
        const Left block = left.behind(k);
        const Weight* panel = weights + k * width;
        const char* ahead = reinterpret_cast<const char*>(from_afar ? panel + here * width : panel);
        const Index fetched = from_afar ? (width * Index(sizeof(Weight)) + tiles - 1) / tiles : 0;
        for (Index tile = 0, r = 0; tile < tiles; ++tile) {
            const Index height = (rows - r + tiles - tile - 1) / (tiles - tile);
            of_height.tile[height - 1](here, block.below(r), panel, sums + r * stride, stride,
                                       first && k == 0, ahead, fetched);
            ahead += here * fetched;
            r += height;
        }
    }
}

// The vectors of a panel. With room for 12 sums, tiles of 6 rows by 2 fit the numbers of rows that batches
// have better than 3 by 4 do: 16 rows are 6, 5 and 5, not four times 3 and twice 2.
constexpr int plain_vectors = GATED_REGISTERS == 16 ? 2 : 4;
// Columns side by side in a panel that serves a product with no gates in it.
template <class T>
constexpr Index plain_width = plain_vectors * lanes<T>;

template <class T>
Index plain_panels(Index columns) {
    return (columns + plain_width<T> - 1) / plain_width<T>;
}

// Copies a panel's columns of one row, from column `first` on; missing columns are zeros.
template <class T>
GATED_INLINE void pack_row(const T* row, Index first, Index columns, Index width, T* packed) {
    const Index left = columns - first, real = left < width ? left : width;
    for (Index i = 0; i < real; ++i) packed[i] = row[first + i];
    for (Index i = real; i < width; ++i) packed[i] = 0;
}

// How a width of some units is cut into panels of up to `plain_vectors` vectors, as equal as they can be.
template <class T>
struct Cut {
    Index units, vectors, count;

    explicit Cut(Index units)
        : units(units), vectors((units + lanes<T> - 1) / lanes<T>),
          count((vectors + plain_vectors - 1) / plain_vectors) {}

    Index padded() const { return vectors * lanes<T>; }
    Index first(Index panel) const { return vectors * panel / count * lanes<T>; }  // unit
    int vectors_of(Index panel) const { return int((first(panel + 1) - first(panel)) / lanes<T>); }
    // The units up to the panel's end, of those that there are.
    Index end(Index panel) const {
        const Index end = first(panel + 1);
        return end < units ? end : units;
    }
};

// multiply for a panel of `vectors` vectors.
template <class T, class Left, class Weight>
GATED_INLINE void multiply_panel(int vectors, Index rows, Index depth, const Left& left,
                                 const Weight* weights, T* sums, Index stride, bool from_afar) {
    switch (vectors) {
        case 1: return multiply<T, 1>(rows, depth, left, weights, sums, stride, from_afar);
        case 2: return multiply<T, 2>(rows, depth, left, weights, sums, stride, from_afar);
        case 3: return multiply<T, 3>(rows, depth, left, weights, sums, stride, from_afar);
        default: return multiply<T, 4>(rows, depth, left, weights, sums, stride, from_afar);
    }
}
// multiply_panel for weights that are packed where they are used: `pack(k, depth, part)` packs so much of
// the panel, from a multiple of four on, and what is packed never leaves the first cache.
template <class T, class Left, class Pack>
GATED_INLINE void multiply_in_parts(int vectors, Index rows, Index depth, const Left& left,
                                    const Pack& pack, T* sums, Index stride) {
    const Index most = tile_depth<T, 1> / vectors / 4 * 4;
    alignas(64) T part[tile_depth<T, 1> * lanes<T>];
    for (Index k = 0; k < depth; k += most) {
        const Index here = depth - k < most ? depth - k : most;
        pack(k, here, part);
        multiply_panel<T>(vectors, rows, here, left.behind(k), part, sums, stride, false);
    }
}
// Packs the first `depth` columns of rows of `stride` values as a panel of `vectors` vectors:
// [k][vector][lane]. Rows from `real` on are zeros.
template <class T>
void pack_panel(const T* rows, Index real, int vectors, Index stride, Index depth, T* packed) {
    constexpr Index L = lanes<T>;
    // A line of the caches at a time: rows that lie a power of two apart push one another out.
    for (Index begin = 0; begin < depth; begin += line<T>) {
        const Index end = depth - begin < line<T> ? depth : begin + line<T>;
        for (int v = 0; v < vectors; ++v)
            for (Index k = begin; k < end; k += L) {
                const Index here = end - k < L ? end - k : L;
                const Index left = real - v * L, there = left < 0 ? 0 : left < L ? left : L;
                const T* from = rows + v * L * stride + k;
                T* to = packed + (k * vectors + v) * L;
                if (there == L && here == L) {
                    Vector<T> square[L];
                    for (Index lane = 0; lane < L; ++lane)
                        square[lane] = load(from + lane * stride);
                    transpose<T>(square);
                    for (Index i = 0; i < L; ++i) store(to + i * vectors * L, square[i]);
                } else {
                    for (Index i = 0; i < here; ++i)
                        for (Index lane = 0; lane < L; ++lane)
                            to[i * vectors * L + lane] =
                                lane < there ? from[lane * stride + i] : T(0);
                }
            }
    }
}

// multiply_tile for R rows and a panel's weights that lie as pack_panel takes them: squares of them
// are turned around in registers.
template <class T, int V, int R>
[[gnu::noinline]] void multiply_unpacked(Index depth, const T* const* left, const T* rows,
                                         Index real, T* sums, Index stride) {
    constexpr Index L = lanes<T>;
    Vector<T> sum[R][V];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] = load(sums + r * stride + v * L);
    for (Index begin = 0; begin < depth; begin += line<T>) {
        const Index end = depth - begin < line<T> ? depth : begin + line<T>;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            const T* from = rows + v * L * depth;
            if (real - v * L >= L && end - begin == line<T>) {
                for (Index k = begin; k < end; k += L) {
                    Vector<T> square[L];
#pragma GCC unroll 32
                    for (Index lane = 0; lane < L; ++lane)
                        square[lane] = load(from + lane * depth + k);
                    transpose<T>(square);
#pragma GCC unroll 32
                    for (Index i = 0; i < L; ++i)
#pragma GCC unroll 8
                        for (int r = 0; r < R; ++r)
                            sum[r][v] += broadcast<T>(left[r][k + i]) * square[i];
                }
            } else {
                alignas(64) T packed[line<T> * L];
                pack_panel<T>(from + begin, real - v * L, 1, depth, end - begin, packed);
                for (Index k = begin; k < end; ++k)
#pragma GCC unroll 8
                    for (int r = 0; r < R; ++r)
                        sum[r][v] += broadcast<T>(left[r][k]) * load(packed + (k - begin) * L);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(sums + r * stride + v * L, sum[r][v]);
}
template <class T, int R>
GATED_INLINE void multiply_vector_by_vector(int vectors, Index depth, const T* const* left,
                                            const T* rows, Index real, T* sums, Index stride) {
    constexpr Index L = lanes<T>;
    for (int v = 0; v < vectors; ++v)
        multiply_unpacked<T, 1, R>(depth, left, rows + v * L * depth, real - v * L, sums + v * L,
                                   stride);
}
// So many rows share the turning.
constexpr Index rows_unpacked = 4;
// The same for a panel of `vectors` vectors and any number of rows.
template <class T>
GATED_INLINE void multiply_panel_unpacked(int vectors, Index count, Index depth,
                                          const T* const* left, const T* rows, Index real, T* sums,
                                          Index stride) {
    for (Index r = 0; r < count;) {
        const Index tiles = (count - r + rows_unpacked - 1) / rows_unpacked;
        const Index here = (count - r + tiles - 1) / tiles;
        const T* const* from = left + r;
        T* to = sums + r * stride;
        r += here;
        if (here == 4)
            multiply_vector_by_vector<T, 4>(vectors, depth, from, rows, real, to, stride);
        else if (here == 3)
            multiply_vector_by_vector<T, 3>(vectors, depth, from, rows, real, to, stride);
        else if (here == 2)
            multiply_vector_by_vector<T, 2>(vectors, depth, from, rows, real, to, stride);
        else if (vectors == 1)  // one row: vectors side by side fill the multipliers
            multiply_unpacked<T, 1, 1>(depth, from, rows, real, to, stride);
        else if (vectors == 2)
            multiply_unpacked<T, 2, 1>(depth, from, rows, real, to, stride);
        else if (vectors == 3)
            multiply_unpacked<T, 3, 1>(depth, from, rows, real, to, stride);
        else
            multiply_unpacked<T, 4, 1>(depth, from, rows, real, to, stride);
    }
}

// sums(r) += Σ_k left(r, k) · weights[k], of `width` columns, for weights of which a row lies `apart`
// values behind the other: some rows at a time are read along, and the sums are in the first cache.
template <class T, int K>
GATED_INLINE void add_rows(const T* left, const T* weights, Index apart, Index width, T* sums) {
    constexpr Index L = lanes<T>;
    Vector<T> x[K];
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) x[k] = broadcast<T>(left[k]);
    const auto add = [&](Index u, const auto& part) {
        Vector<T> sum = part.load(sums + u);
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) sum += x[k] * part.load(weights + k * apart + u);
        part.store(sums + u, sum);
    };
    Index u = 0;
    for (; u + L <= width; u += L) add(u, Whole{});
    if (u < width) add(u, Partial{width - u});
}
template <class T, class To>
void multiply_along(Index rows, Index depth, const EvenRows<T>& left, const T* weights, Index apart,
                    Index width, const To& sums) {
    constexpr int some = 8;
    Index k = 0;
    for (; k + some <= depth; k += some)
        for (Index r = 0; r < rows; ++r)
            add_rows<T, some>(left.data + r * left.stride + k, weights + k * apart, apart, width,
                              sums(r));
    for (; k < depth; ++k)
        for (Index r = 0; r < rows; ++r)
            add_rows<T, 1>(left.data + r * left.stride + k, weights + k * apart, apart, width,
                           sums(r));
}

}  // namespace gated::GATED_TARGET
