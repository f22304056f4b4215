// The baseline kernels against plain scalar loops, on processors where no Python may be at hand.
//
// Each cell is written out once more as in its equations, on numbers that carry one derivative
// along; so every gradient is that of the equations, and no backward pass is written twice.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "cells_by_name.h"
#include "kernels.h"

namespace {

enum class Cell { rnn_tanh, rnn_relu, gru, gru_reset_before, lstm, lstm_coupled };

constexpr int T = 4, B = 3, I = 5, H = 13;  // no multiples of a vector
constexpr std::int64_t lengths[B] = {3, 0, 4};

// A number and its derivative.
struct Dual {
    double value = 0, slope = 0;
};
Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.slope * b.value + a.value * b.slope};
}
Dual tanh(Dual a) {
    const double y = std::tanh(a.value);
    return {y, a.slope * (1 - y * y)};
}
Dual sigmoid(Dual a) {
    const double y = 1 / (1 + std::exp(-a.value));
    return {y, a.slope * y * (1 - y)};
}
Dual relu(Dual a) { return a.value > 0 ? a : Dual{}; }
constexpr Dual one{1, 0};

struct Known {
    Cell cell;
    const char* name;
    int gates;
    bool has_cell;
};
constexpr Known cells[] = {
    {Cell::rnn_tanh, "rnn_tanh", 1, false},
    {Cell::rnn_relu, "rnn_relu", 1, false},
    {Cell::gru, "gru", 3, false},
    {Cell::gru_reset_before, "gru_reset_before", 3, false},
    {Cell::lstm, "lstm", 4, true},
    {Cell::lstm_coupled, "lstm_coupled", 3, true},
};

// Everything that a layer takes, one array behind the other; or the gradients of it.
template <class Value>
struct Taken {
    std::vector<Value> values;
    Value *input, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *hidden, *cell;

    explicit Taken(int gates) : values(T * B * I + gates * H * (I + H + 2) + 2 * B * H) {
        Value* next = values.data();
        const auto take = [&](int count) { return (next += count) - count; };
        input = take(T * B * I);
        weight_ih = take(gates * H * I);
        weight_hh = take(gates * H * H);
        bias_ih = take(gates * H);
        bias_hh = take(gates * H);
        hidden = take(B * H);
        cell = take(B * H);
    }
    Taken(const Taken&) = delete;

    template <class Some>
    std::vector<gated::Matrix<Some>> matrices() const {
        return {{weight_ih, bias_ih}, {weight_hh, bias_hh}};
    }
};

// The output (T, B, H) and the final states (B, H) of a layer; or the gradients of them.
template <class Value>
struct Given {
    std::vector<Value> values = std::vector<Value>((T + 2) * B * H);
    Value *output = values.data(), *hidden = output + T * B * H, *cell = hidden + B * H;

    Given() = default;
    Given(const Given&) = delete;
};

// The new hidden state of a unit, of the sums of its gates; `cell` becomes its new cell state.
Dual unit_of(Cell kind, const Dual* from_input, const Dual* from_hidden, Dual before, Dual& cell) {
    const auto sum = [&](int gate) { return from_input[gate] + from_hidden[gate]; };
    switch (kind) {
        case Cell::rnn_tanh:
            return tanh(sum(0));
        case Cell::rnn_relu:
            return relu(sum(0));
        case Cell::gru: {
            const Dual r = sigmoid(sum(0)), z = sigmoid(sum(1));
            const Dual n = tanh(from_input[2] + r * from_hidden[2]);
            return (one - z) * n + z * before;
        }
        case Cell::gru_reset_before: {  // the third sum is of the hidden state behind the reset gate
            const Dual z = sigmoid(sum(1)), n = tanh(sum(2));
            return (one - z) * n + z * before;
        }
        case Cell::lstm:
            cell = sigmoid(sum(1)) * cell + sigmoid(sum(0)) * tanh(sum(2));
            return sigmoid(sum(3)) * tanh(cell);
        case Cell::lstm_coupled: {
            const Dual f = sigmoid(sum(0));
            cell = f * cell + (one - f) * tanh(sum(1));
            return sigmoid(sum(2)) * tanh(cell);
        }
    }
    return {};
}

// weight (rows, columns), row `row`, times a vector, plus that row's bias.
Dual product(const Dual* weight, const Dual* bias, int row, const Dual* vector, int columns) {
    Dual sum = bias[row];
    for (int i = 0; i < columns; ++i) sum = sum + weight[row * columns + i] * vector[i];
    return sum;
}

void plain_layer(const Known& known, bool reverse, const Taken<Dual>& taken, Given<Dual>& given) {
    for (int b = 0; b < B; ++b) {
        std::vector<Dual> hidden(taken.hidden + b * H, taken.hidden + (b + 1) * H);
        std::vector<Dual> cell(taken.cell + b * H, taken.cell + (b + 1) * H);
        const int length = int(lengths[b]);
        for (int step = 0; step < length; ++step) {
            const int t = reverse ? length - 1 - step : step;
            const Dual* x = taken.input + (t * B + b) * I;
            std::vector<Dual> from_input(known.gates * H), from_hidden(known.gates * H);
            for (int row = 0; row < known.gates * H; ++row) {
                from_input[row] = product(taken.weight_ih, taken.bias_ih, row, x, I);
                from_hidden[row] = product(taken.weight_hh, taken.bias_hh, row, hidden.data(), H);
            }
            if (known.cell == Cell::gru_reset_before) {
                std::vector<Dual> masked(H);
                for (int u = 0; u < H; ++u)
                    masked[u] = sigmoid(from_input[u] + from_hidden[u]) * hidden[u];
                for (int row = 2 * H; row < 3 * H; ++row)
                    from_hidden[row] =
                        product(taken.weight_hh, taken.bias_hh, row, masked.data(), H);
            }
            for (int u = 0; u < H; ++u) {
                Dual of_input[4], of_hidden[4];
                for (int gate = 0; gate < known.gates; ++gate) {
                    of_input[gate] = from_input[gate * H + u];
                    of_hidden[gate] = from_hidden[gate * H + u];
                }
                hidden[u] = unit_of(known.cell, of_input, of_hidden, hidden[u], cell[u]);
                given.output[(t * B + b) * H + u] = hidden[u];
            }
        }
        for (int u = 0; u < H; ++u) {
            given.hidden[b * H + u] = hidden[u];
            if (known.has_cell) given.cell[b * H + u] = cell[u];
        }
    }
}

// What the equations say of a layer, and the gradients of what is given by `cotangents`.
struct Expected {
    std::vector<double> given, gradients;
};

Expected expected_of(const Known& known, bool reverse, const std::vector<double>& taken,
                     const std::vector<double>& cotangents) {
    Expected expected;
    Taken<Dual> numbers(known.gates);
    for (std::size_t i = 0; i < taken.size(); ++i) numbers.values[i].value = taken[i];
    for (Dual& number : numbers.values) {
        Given<Dual> given;
        number.slope = 1;
        plain_layer(known, reverse, numbers, given);
        number.slope = 0;
        double gradient = 0;
        for (std::size_t i = 0; i < cotangents.size(); ++i)
            gradient += cotangents[i] * given.values[i].slope;
        expected.gradients.push_back(gradient);
        if (expected.given.empty())
            for (const Dual& result : given.values) expected.given.push_back(result.value);
    }
    return expected;
}

void call(const gated::Forward<float>& layer, const gated::Schedule& schedule, gated::Team& team) {
    gated::baseline::kernels.forward32(layer, schedule, team);
}
void call(const gated::Forward<double>& layer, const gated::Schedule& schedule, gated::Team& team) {
    gated::baseline::kernels.forward64(layer, schedule, team);
}
void call(const gated::Backward<float>& layer, const gated::Schedule& schedule, gated::Team& team) {
    gated::baseline::kernels.backward32(layer, schedule, team);
}
void call(const gated::Backward<double>& layer, const gated::Schedule& schedule,
          gated::Team& team) {
    gated::baseline::kernels.backward64(layer, schedule, team);
}

template <class Value>
std::vector<double> widened(const std::vector<Value>& values) {
    return {values.begin(), values.end()};
}

// What the kernels say of the same, on so many threads at most.
template <class Value>
Expected found_by(const Known& known, bool reverse, const std::vector<double>& values,
                  const std::vector<double>& cotangent_values, int threads) {
    Taken<Value> taken(known.gates), gradients(known.gates);
    Given<Value> given, cotangents;
    taken.values.assign(values.begin(), values.end());
    cotangents.values.assign(cotangent_values.begin(), cotangent_values.end());
    const gated::Schedule schedule(T, B, lengths);

    const gated::Cell cell = cell_named(known.name);
    const auto states_of = [&](auto* hidden, auto* state) {
        std::vector<decltype(hidden)> states{hidden};
        if (known.has_cell) states.push_back(state);
        return states;
    };
    gated::Forward<Value> forward;
    forward.cell = &cell;
    forward.steps = T, forward.sequences = B, forward.inputs = I;
    forward.units = forward.outputs = H;
    forward.lengths = lengths;
    forward.reverse = reverse;
    forward.input = {taken.input, B * I, I};
    forward.matrices = taken.template matrices<const Value>();
    for (Value* state : states_of(taken.hidden, taken.cell)) forward.initial.push_back(state);

    const auto rows = schedule.offsets.back();
    std::vector<Value> kept(rows * cell.training.kept.size() * H), states(rows * H);
    const gated::Layer<Value> layer = forward;
    forward.output = {given.output, B * H, H};
    forward.final_states = states_of(given.hidden, given.cell);
    forward.kept = {kept.data(), states_of((Value*)nullptr, states.data())};
    {
        gated::Team team(threads);
        call(forward, schedule, team);
    }

    gated::Backward<Value> backward;
    static_cast<gated::Layer<Value>&>(backward) = layer;
    backward.output = {given.output, B * H, H};
    backward.kept.values = kept.data();
    for (Value* history : forward.kept.history) backward.kept.history.push_back(history);
    backward.grad_output = {cotangents.output, B * H, H};
    for (Value* grad : states_of(cotangents.hidden, cotangents.cell))
        backward.grad_final.push_back(grad);
    backward.grad_kept.history = {nullptr, nullptr};
    backward.grad_input = {gradients.input, B * I, I};
    backward.grad_matrices = gradients.template matrices<Value>();
    backward.grad_initial = states_of(gradients.hidden, gradients.cell);
    {
        gated::Team team(threads);
        call(backward, schedule, team);
    }
    return {widened(given.values), widened(gradients.values)};
}

// The largest distance of what was found, as a share of the largest number expected; infinite where
// something found is no number.
double distance(const std::vector<double>& expected, const std::vector<double>& found) {
    double largest = 0, scale = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double between = std::abs(expected[i] - found[i]);
        largest = std::isnan(between) ? HUGE_VAL : std::max(largest, between);
        scale = std::max(scale, std::abs(expected[i]));
    }
    return largest / scale;
}

// Compares, and says so; returns how many of the two arrays are wrong.
int compare(const std::string& what, const Expected& expected, const Expected& found,
            double tolerance) {
    const double forward = distance(expected.given, found.given);
    const double backward = distance(expected.gradients, found.gradients);
    const int wrong = !(forward <= tolerance) + !(backward <= tolerance);
    std::printf("%-56s forward %.1e  backward %.1e%s\n", what.c_str(), forward, backward,
                wrong ? "  WRONG" : "");
    return wrong;
}

}  // namespace

int main() {
    int wrong = 0;
    std::mt19937 random(3);
    // Each is a float too, so that both widths start from the same numbers.
    const auto drawn = [&](std::size_t count) {
        std::vector<double> values(count);
        for (double& value : values) value = int(random() % 2001 - 1000) / 1024.0;
        return values;
    };
    for (const Known& known : cells)
        for (const bool reverse : {false, true}) {
            const std::vector<double> taken = drawn(Taken<double>(known.gates).values.size());
            const std::vector<double> cotangents = drawn(Given<double>().values.size());
            const Expected expected = expected_of(known, reverse, taken, cotangents);
            for (const int threads : {1, 2, 5}) {  // alone, by sequences, by units
                const std::string what = std::string(known.name) + (reverse ? ", reversed" : "") +
                                         ", at most " + std::to_string(threads) + " threads, ";
                wrong += compare(what + "float", expected,
                                 found_by<float>(known, reverse, taken, cotangents, threads), 3e-5);
                wrong += compare(what + "double", expected,
                                 found_by<double>(known, reverse, taken, cotangents, threads),
                                 1e-12);
            }
        }
    std::printf("%d wrong\n", wrong);
    return wrong != 0;
}
