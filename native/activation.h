// Sigmoid, tanh and ReLU of vectors.
//
// Bounds, over all arguments: sigmoid and tanh are within 3 ulp of the true value, or within the
// smallest normal number of it; ±inf give the exact limits, NaN gives NaN. Both stand on exp(x) =
// 2^k (1 + q) with x = k ln 2 + r, |r| ≤ ln 2 / 2 and q = exp(r) - 1 as a polynomial close to the
// minimax one, so that exp(x) - 1 = 2^k q + (2^k - 1) loses no digits near zero.
#pragma once

#include "simd.h"

namespace gated::GATED_TARGET {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
    static constexpr float log2e = 1.44269504f;
    static constexpr float ln2_high = 0.693359375f;  // few bits: its product with k is exact
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr float magic = 12582912.0f + 127;  // adding it rounds, and leaves k + 127 below
    static constexpr int mantissa_bits = 23;
    static constexpr float overflows = 89, vanishes = -87;
    // (exp(r) - 1 - r) / r²
    static constexpr float series[] = {0.5f, 0.16666576977522850016f, 0.041666554601994184088f,
                                       0.0083631810800785555556f, 0.0013926186120218327927f};
};

template <>
struct ExpConstants<double> {
    static constexpr double log2e = 1.4426950408889634074;
    static constexpr double ln2_high = 6.93145751953125e-1;
    static constexpr double ln2_low = 1.42860682030941723212e-6;
    static constexpr double magic = 6755399441055744.0 + 1023;
    static constexpr int mantissa_bits = 52;
    static constexpr double overflows = 710, vanishes = -708;
    static constexpr double series[] = {
        0.50000000000000010225,        0.16666666666666667453,        0.041666666666624116328,
        0.0083333333333300609447,      0.001388888891721948282,       0.00019841269863058050964,
        0.00002480152128699543959,     2.7557268453107524856e-6,      2.762009270665066481e-7,
        2.5100388772450646573e-8};
};

template <class T>
struct ScaledExp {
    Vector<T> scale;  // 2^k
    Vector<T> rest;   // exp(r) - 1
};

template <class T>
GATED_INLINE ScaledExp<T> scaled_exp(Vector<T> x) {
    using C = ExpConstants<T>;
    typedef Bits<T> Integers __attribute__((vector_size(GATED_VECTOR_BYTES)));
    const Vector<T> magic = broadcast<T>(C::magic);
    const Vector<T> shifted = x * C::log2e + magic;
    const Vector<T> k = shifted - magic;
    Vector<T> r = x - k * C::ln2_high;
    r = r - k * C::ln2_low;
    constexpr int terms = sizeof C::series / sizeof C::series[0];
    Vector<T> series = broadcast<T>(C::series[terms - 1]);
#pragma GCC unroll 16
    for (int i = terms - 2; i >= 0; --i) series = series * r + C::series[i];
    const Integers exponent = (Integers)shifted << C::mantissa_bits;
    return {(Vector<T>)exponent, series * (r * r) + r};
}

// Comparisons are written so that NaN passes through.
template <class T>
GATED_INLINE Vector<T> sigmoid(Vector<T> x) {
    using C = ExpConstants<T>;
    const Vector<T> most = broadcast<T>(C::overflows), least = broadcast<T>(C::vanishes);
    Vector<T> y = -x;
    y = y > most ? most : y;
    y = y < least ? least : y;
    const ScaledExp<T> e = scaled_exp<T>(y);
    return T(1) / (e.scale * (e.rest + T(1)) + T(1));
}

template <class T>
GATED_INLINE Vector<T> tanh(Vector<T> x) {
    typedef Bits<T> Integers __attribute__((vector_size(GATED_VECTOR_BYTES)));
    const Integers sign = (Integers)x & (Integers)broadcast<T>(T(-0.0));
    const Vector<T> magnitude = (Vector<T>)((Integers)x ^ sign);
    const Vector<T> least = broadcast<T>(T(-40));  // tanh(20) is 1 in float and in double
    Vector<T> y = T(-2) * magnitude;
    y = y < least ? least : y;
    const ScaledExp<T> e = scaled_exp<T>(y);
    const Vector<T> minus_one = e.scale * e.rest + (e.scale - T(1));  // exp(-2|x|) - 1
    const Vector<T> result = -minus_one / (minus_one + T(2));
    return (Vector<T>)((Integers)result | sign);
}

template <class T>
GATED_INLINE Vector<T> relu(Vector<T> x) {
    const Vector<T> zero{};
    return x < zero ? zero : x;
}

}  // namespace gated::GATED_TARGET
