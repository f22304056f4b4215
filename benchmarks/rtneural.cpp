// A step of an LSTM by RTNeural, as functions that benchmarks/contenders.py calls. RTNeural is no part
// of this project; with its sources in $R, and Eigen or xsimd in $V:
//
//   g++ -O3 -DNDEBUG -march=native -ffast-math -std=c++17 -shared -fPIC
//     -DRTNEURAL_DEFAULT_ALIGNMENT=32 -DRTNEURAL_USE_EIGEN=1 -DEIGEN_STACK_ALLOCATION_LIMIT=0 -I$R -I$R/modules/json -I$V
//     benchmarks/rtneural.cpp -o rtneural.so
//
// GATED_RTNEURAL=.../rtneural.so then lets it take part. Sizes are known to the compiler, which is the
// fastest way to use it.

#include <RTNeural/RTNeural.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace {

struct Layer {
    virtual ~Layer() = default;
    virtual void reset() = 0;
    virtual void step(const float* x, float* h) = 0;
};

// (rows, columns) in row order, as (columns, rows), which RTNeural takes.
std::vector<std::vector<float>> transposed(const float* weights, int rows, int columns) {
    std::vector<std::vector<float>> result(columns, std::vector<float>(rows));
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
            result[column][row] = weights[row * columns + column];
    return result;
}

template <int I, int H> struct Lstm final : Layer {
    RTNeural::ModelT<float, I, H, RTNeural::LSTMLayerT<float, I, H>> model;
    alignas(64) float input[I];  // RTNeural asks for aligned vectors

    Lstm(const float* weight_ih, const float* weight_hh, const float* bias) {
        auto& layer = model.template get<0>();
        layer.setWVals(transposed(weight_ih, 4 * H, I));
        layer.setUVals(transposed(weight_hh, 4 * H, H));
        layer.setBVals(std::vector<float>(bias, bias + 4 * H));
    }
    void reset() override { model.reset(); }
    void step(const float* x, float* h) override {
        std::copy_n(x, I, input);
        model.forward(input);
        std::copy_n(model.getOutputs(), H, h);
    }
};

template <int I, int H>
Layer* created(const float* weight_ih, const float* weight_hh, const float* bias) {
    return std::make_unique<Lstm<I, H>>(weight_ih, weight_hh, bias).release();
}

}  // namespace

extern "C" {

// Weights in torch's order of gates, row by row; null for sizes that were not compiled.
Layer* lstm(int I, int H, const float* weight_ih, const float* weight_hh, const float* bias) {
    if (I == 64 && H == 128) return created<64, 128>(weight_ih, weight_hh, bias);
    if (I == 256 && H == 512) return created<256, 512>(weight_ih, weight_hh, bias);
    return nullptr;
}

void reset(Layer* layer) { layer->reset(); }

void step(Layer* layer, const float* x, float* h) { layer->step(x, h); }
}
