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

template <class T>
GATED_INLINE Vector<T> exp(Vector<T> x) {
    using C = ExpConstants<T>;
    typedef Bits<T> Integers __attribute__((vector_size(GATED_VECTOR_BYTES)));
    const Vector<T> most = broadcast<T>(C::overflows), least = broadcast<T>(C::vanishes);
    Vector<T> y = x > most ? most : x;
    y = y < least ? least : y;
    const ScaledExp<T> e = scaled_exp<T>(y);
    // In two factors, since 2^k alone may be more than there is: 2^128 in float.
    const Vector<T> half = (Vector<T>)((Integers)e.scale - (Integers{} + (Bits<T>(1) << C::mantissa_bits)));
    const Vector<T> result = half * (e.rest + T(1)) * T(2);
    return x < least ? Vector<T>{} : result;
}

template <class T>
struct LogConstants;

template <>
struct LogConstants<float> {
    static constexpr std::int32_t one = 0x3f800000, root_half = 0x3f3504f3;
    static constexpr float smallest = 1.17549435e-38f, raises = 8388608.0f;
    static constexpr float infinity = __builtin_inff();
};

template <>
struct LogConstants<double> {
    static constexpr std::int64_t one = 0x3ff0000000000000, root_half = 0x3fe6a09e667f3bcd;
    static constexpr double smallest = 2.2250738585072014e-308, raises = 4503599627370496.0;
    static constexpr double infinity = __builtin_inf();
};

// log(x) with x = 2^k m, √½ ≤ m < √2, and log(m) = 2 artanh(s), s = (m - 1) / (m + 1), as a series.
template <class T>
GATED_INLINE Vector<T> log(Vector<T> x) {
    using C = LogConstants<T>;
    using E = ExpConstants<T>;
    typedef Bits<T> Integers __attribute__((vector_size(GATED_VECTOR_BYTES)));
    constexpr T raised_by = T(E::mantissa_bits);
    const Vector<T> zero{};
    const Vector<T> raised = x < C::smallest ? x * C::raises : x;  // subnormal numbers
    const Integers bits = (Integers)raised - (Integers{} + C::root_half);
    const Integers exponent = bits >> E::mantissa_bits;
    const Vector<T> m = (Vector<T>)((bits & (Integers{} + ((Bits<T>(1) << E::mantissa_bits) - 1))) +
                                    (Integers{} + C::root_half));
    const Vector<T> k = __builtin_convertvector(exponent, Vector<T>) -
                        (x < C::smallest ? zero + raised_by : zero);
    const Vector<T> f = m - T(1);
    const Vector<T> s = f / (f + T(2)), z = s * s;
    constexpr int terms = sizeof(T) == 4 ? 5 : 12;
    Vector<T> series{};
#pragma GCC unroll 16
    for (int i = terms; i >= 1; --i) series = series * z + T(2) / T(2 * i + 1);
    Vector<T> result = k * E::ln2_high + (s * T(2) + (s * z * series + k * E::ln2_low));
    result = x == zero ? zero - C::infinity : result;
    result = x < zero ? zero / zero : result;
    return x == C::infinity || x != x ? x : result;
}

// log(1 + e) without loss for small e (Kahan 1987).
template <class T>
GATED_INLINE Vector<T> log1p_small(Vector<T> e) {
    const Vector<T> u = e + T(1), zero{};
    const Vector<T> lost = u - T(1);
    return lost == zero ? e : log<T>(u) * (e / lost);
}

template <class T>
GATED_INLINE Vector<T> abs(Vector<T> x) {
    typedef Bits<T> Integers __attribute__((vector_size(GATED_VECTOR_BYTES)));
    return (Vector<T>)((Integers)x & ~(Integers)broadcast<T>(T(-0.0)));
}

template <class T>
GATED_INLINE Vector<T> softplus(Vector<T> x) {
    return relu<T>(x) + log1p_small<T>(exp<T>(-abs<T>(x)));
}

template <class T>
GATED_INLINE Vector<T> sqrt(Vector<T> x) {
    Vector<T> root;
    for (Index lane = 0; lane < lanes<T>; ++lane) root[lane] = __builtin_sqrt(x[lane]);
    return root;
}

// The operations of a plan, by the names of `Operation`.
#define GATED_DEFINE_1(name, expression)                                          \
    template <class T>                                                            \
    GATED_INLINE Vector<T> name##_of(Vector<T> a) {                               \
        return expression;                                                        \
    }
#define GATED_DEFINE_2(name, expression)                                          \
    template <class T>                                                            \
    GATED_INLINE Vector<T> name##_of(Vector<T> a, Vector<T> b) {                  \
        return expression;                                                        \
    }
#define GATED_DEFINE_3(name, expression)                                          \
    template <class T>                                                            \
    GATED_INLINE Vector<T> name##_of(Vector<T> a, Vector<T> b, Vector<T> c) {     \
        return expression;                                                        \
    }
template <class T>
GATED_INLINE Vector<T> choose(decltype(Vector<T>{} < Vector<T>{}) condition) {
    const Vector<T> one = broadcast<T>(1), zero{};
    return condition ? one : zero;
}
GATED_DEFINE_1(copy, a)
GATED_DEFINE_2(add, a + b)
GATED_DEFINE_2(sub, a - b)
GATED_DEFINE_2(mul, a * b)
GATED_DEFINE_2(div, a / b)
GATED_DEFINE_1(neg, -a)
GATED_DEFINE_1(sigmoid, sigmoid<T>(a))
GATED_DEFINE_1(tanh, tanh<T>(a))
GATED_DEFINE_1(relu, relu<T>(a))
GATED_DEFINE_1(softplus, softplus<T>(a))
GATED_DEFINE_1(exp, exp<T>(a))
GATED_DEFINE_1(log, log<T>(a))
GATED_DEFINE_1(sqrt, sqrt<T>(a))
GATED_DEFINE_1(abs, abs<T>(a))
GATED_DEFINE_2(maximum, (a < b || b != b) ? b : a)
GATED_DEFINE_2(minimum, (b < a || b != b) ? b : a)
GATED_DEFINE_2(less, choose<T>(a < b))
GATED_DEFINE_2(less_equal, choose<T>(a <= b))
GATED_DEFINE_2(equal, choose<T>(a == b))
GATED_DEFINE_3(where, a != Vector<T>{} ? b : c)
GATED_DEFINE_2(sigmoid_back, a * (b * (T(1) - b)))
GATED_DEFINE_2(tanh_back, a * (T(1) - b * b))
GATED_DEFINE_3(normalise, (a - b) * c)
GATED_DEFINE_3(multiply_add, a * b + c)
GATED_DEFINE_3(multiply_subtract, a * b - c)
GATED_DEFINE_3(subtract_product, c - a * b)
GATED_DEFINE_3(sigmoid_back_of_product, a * b * (c * (T(1) - c)))
GATED_DEFINE_3(tanh_back_of_product, a * b * (T(1) - c * c))
#undef GATED_DEFINE_1
#undef GATED_DEFINE_2
#undef GATED_DEFINE_3

}  // namespace gated::GATED_TARGET
