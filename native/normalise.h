// Layer normalisation of a step's sums and of the cell state (Ba, Kiros and Hinton 2016), forward
// and backward, a row at a time.
//
// norm(v) = (v - mean) / sqrt(variance + ε), the variance biased. The gradients of v are
// (g - mean(g) - norm·mean(g·norm)) / sqrt(variance + ε) for those g of norm(v).
#pragma once

#include <cmath>

#include "cells/cell.h"

namespace gated::GATED_TARGET {

constexpr double norm_epsilon = 1e-5;

// Calls each(vector index, access) for the vectors of `units` units.
template <class T, class Each>
GATED_INLINE void for_units(Index units, const Each& each) {
    constexpr Index L = lanes<T>;
    Index unit = 0;
    for (; unit + L <= units; unit += L) each(unit, Whole{});
    if (unit < units) each(unit, Partial{units - unit});
}

// Lanes behind the last unit set to zero: what is added up must not see them.
template <class T>
GATED_INLINE Vector<T> only(Vector<T> v, Whole) {
    return v;
}
template <class T>
GATED_INLINE Vector<T> only(Vector<T> v, Partial part) {
    for (Index lane = part.count; lane < lanes<T>; ++lane) v[lane] = 0;
    return v;
}

template <class T>
GATED_INLINE T total(Vector<T> v) {
    T sum = 0;
    for (Index lane = 0; lane < lanes<T>; ++lane) sum += v[lane];
    return sum;
}

template <class T>
struct Moments {
    T mean, scale;  // scale: 1 / sqrt(variance + ε)
};

// Of the slots `first` to `last` - 1 of a row of sums, which lie [vector of units][slot][lane].
template <class T>
GATED_INLINE Moments<T> moments(const T* sums, int slots, int first, int last, Index units) {
    constexpr Index L = lanes<T>;
    const T count = T(units * (last - first));
    Vector<T> sum{};
    for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
        const T* vectors = sums + unit * slots;
        for (int s = first; s < last; ++s) sum += access.load(vectors + s * L);
    });
    const T mean = total<T>(sum) / count;
    Vector<T> squares{};
    for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
        const T* vectors = sums + unit * slots;
        for (int s = first; s < last; ++s) {
            const Vector<T> from_mean = only<T>(access.load(vectors + s * L) - mean, access);
            squares += from_mean * from_mean;
        }
    });
    return {mean, T(1) / std::sqrt(total<T>(squares) / count + T(norm_epsilon))};
}

// sums += gain · norm(raw), for the slots of the spans; gains lie as the sums do. What the way back
// needs goes to `normalised` (slots, H), from `first_slot` on, and to `scales`, if they are wanted.
template <class T, int slots, int bounds>
[[gnu::noinline]] void add_normalised(const T* raw, const T* gain, const int (&spans)[bounds],
                                      Index units, T* sums, T* normalised, T* scales) {
    constexpr Index L = lanes<T>;
    for (int span = 0; span + 1 < bounds; ++span) {
        const Moments<T> of = moments<T>(raw, slots, spans[span], spans[span + 1], units);
        if (scales) scales[span] = of.scale;
        for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
            for (int s = spans[span]; s < spans[span + 1]; ++s) {
                const Index at = unit * slots + s * L;
                const Vector<T> norm = (load(raw + at) - of.mean) * of.scale;
                store(sums + at, load(gain + at) * norm + load(sums + at));
                if (normalised) access.store(normalised + (s - spans[0]) * units + unit, norm);
            }
        });
    }
}

// The gradients of the sums before they were normalised, in slots of H units, for those after it.
template <class T, int bounds>
[[gnu::noinline]] void normalise_back(const T* grad, const T* gain, const T* normalised,
                                      const T* scales, const int (&spans)[bounds], Index units,
                                      T* result) {
    for (int span = 0; span + 1 < bounds; ++span) {
        const Index from = spans[span] - spans[0], count = spans[span + 1] - spans[span];
        const T scale = scales[span];
        Vector<T> sum{}, along{};
        const auto each = [&](const auto& use) __attribute__((always_inline)) {
            for_units<T>(count * units, [&](Index i, auto access) __attribute__((always_inline)) {
                const Index at = from * units + i;
                use(at, access, access.load(gain + at) * access.load(grad + at),
                    access.load(normalised + at));
            });
        };
        each([&](Index, auto, Vector<T> g, Vector<T> norm) __attribute__((always_inline)) {
            sum += g;
            along += g * norm;
        });
        const T mean = total<T>(sum) / T(count * units), slope = total<T>(along) / T(count * units);
        each([&](Index at, auto access, Vector<T> g, Vector<T> norm) __attribute__((always_inline)) {
            access.store(result + at, (g - mean - norm * slope) * scale);
        });
    }
}

// h = o · tanh(gain · norm(C) + bias), once the whole of C is known. `output_gate` (H).
template <class T>
[[gnu::noinline]] void show_cell(const T* cell, const T* output_gate, const T* gain, const T* bias,
                                 Index units, T* hidden, T* scales) {
    const Moments<T> of = moments<T>(cell, 1, 0, 1, units);
    if (scales) {
        scales[0] = of.mean;
        scales[1] = of.scale;
    }
    for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
        const Vector<T> norm = (access.load(cell + unit) - of.mean) * of.scale;
        const Vector<T> shown =
            tanh<T>(access.load(gain + unit) * norm + access.load(bias + unit));
        access.store(hidden + unit, access.load(output_gate + unit) * shown);
    });
}

// The way back through show_cell: adds to grad_cell, and leaves tanh(…) in `shown`, norm(C) in
// `normalised` and the gradient of gain · norm(C) + bias in `grad_shown`.
template <class Cell, class T>
[[gnu::noinline]] void show_cell_back(const GradRow<T>& row, const T* gain, const T* bias,
                                      const T* scales, Index units, T* shown, T* normalised,
                                      T* grad_shown) {
    const T mean = scales[0], scale = scales[1];
    Vector<T> sum{}, along{};
    for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
        const Vector<T> cell = Cell::cell_of(row.gates, row.cell_before, unit, units, access);
        const Vector<T> norm = (cell - mean) * scale;
        const Vector<T> tanh_cell =
            tanh<T>(access.load(gain + unit) * norm + access.load(bias + unit));
        const Vector<T> grad_hidden =
            access.load(row.grad_hidden + unit) + access.load(row.grad_output + unit);
        const Vector<T> grad =
            grad_hidden * access.load(row.gates + Cell::output_gate * units + unit) *
            (T(1) - tanh_cell * tanh_cell);
        access.store(shown + unit, tanh_cell);
        access.store(normalised + unit, norm);
        access.store(grad_shown + unit, grad);
        const Vector<T> of_norm = only<T>(grad * access.load(gain + unit), access);
        sum += of_norm;
        along += of_norm * norm;
    });
    const T mean_grad = total<T>(sum) / T(units), slope = total<T>(along) / T(units);
    for_units<T>(units, [&](Index unit, auto access) __attribute__((always_inline)) {
        const Vector<T> of_norm = access.load(grad_shown + unit) * access.load(gain + unit);
        const Vector<T> grad =
            (of_norm - mean_grad - access.load(normalised + unit) * slope) * scale;
        access.store(row.grad_cell + unit, access.load(row.grad_cell + unit) + grad);
    });
}

}  // namespace gated::GATED_TARGET
