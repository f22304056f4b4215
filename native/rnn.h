// The whole C++ interface of the native core. Nothing here knows Python.
//
// Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
// state (H where nothing is projected), G gates of the cell, N the real steps of all sequences
// together (T·B where no lengths are given).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gated {

class Team;  // of threads.h

enum class Cell { rnn_tanh, rnn_relu, gru, gru_reset_before, lstm, lstm_coupled };

// An array (T, B, features): features lie side by side, steps and sequences anywhere.
template <class Value>
struct Rows {
    Value* data = nullptr;
    std::ptrdiff_t step = 0;      // distance of two steps, in values
    std::ptrdiff_t sequence = 0;  // distance of two sequences, in values

    Value* at(std::ptrdiff_t t, std::ptrdiff_t b) const { return data + t * step + b * sequence; }
};

// The weights of one layer and direction, as PyTorch names, orders and shapes them.
template <class Value>
struct Weights {
    Value* input = nullptr;        // weight_ih (G·H, I)
    Value* hidden = nullptr;       // weight_hh (G·H, P)
    Value* input_bias = nullptr;   // bias_ih (G·H), or null
    Value* hidden_bias = nullptr;  // bias_hh (G·H), or null
    Value* projection = nullptr;   // weight_hr (P, H) of an LSTM, or null
    // Of layer normalisation (Ba, Kiros and Hinton 2016); null without it.
    Value* input_gain = nullptr;   // (G·H)
    Value* hidden_gain = nullptr;  // (G·H)
    Value* cell_gain = nullptr;    // (H), LSTM only
    Value* cell_bias = nullptr;    // (H), LSTM only
};

// Units that keep their old value (Krueger et al. 2017).
struct Zoneout {
    double hidden = 0, cell = 0;  // the probability
    bool samples = false;         // draws for each unit and step, or mixes by the probability
    std::uint64_t seed = 0;
};

// One layer in one direction, over whole sequences.
template <class Value>
struct Layer {
    Cell cell = Cell::lstm;
    std::ptrdiff_t steps = 0, sequences = 0, inputs = 0, units = 0, outputs = 0;  // T, B, I, H, P
    const std::int64_t* lengths = nullptr;                           // (B) in 0…T, or null for T
    bool reverse = false;  // from each sequence's last real step to its first
    Rows<const Value> input{};
    Weights<const Value> weights{};
    const Value* initial_hidden = nullptr;  // (B, P), or null for zeros
    const Value* initial_cell = nullptr;    // (B, H), or null for zeros

    const Value* hidden_mask = nullptr;  // (B, P), multiplies the hidden state that products read
    const Value* weight_mask = nullptr;  // (G·H, P), multiplies weights.hidden
    Zoneout zoneout{};
};

// What the backward pass and whoever looks inside need of a forward pass. Rows of real steps only,
// by time and then by falling length, as in a PackedSequence.
template <class Value>
struct Kept {
    Value* gates = nullptr;       // (N, kept_gates(cell), H), activated
    Value* cells = nullptr;       // (N, H), LSTM only
    Value* normalised = nullptr;  // (N, 2, G, H), of layer normalisation only
    Value* scales = nullptr;      // (N, kept_scales), likewise
};

template <class Value>
struct Forward : Layer<Value> {
    Rows<Value> output{};           // (T, B, P); zeros behind a sequence's end
    Value* final_hidden = nullptr;  // (B, P)
    Value* final_cell = nullptr;    // (B, H), LSTM only
    Kept<Value> kept{};             // null where it is not wanted: all of it, or all but the cells
};

template <class Value>
struct Backward : Layer<Value> {
    // What the forward pass left. What is null but for the cells is computed anew.
    Rows<const Value> output{};
    Kept<const Value> kept{};

    // The gradients of its results.
    Rows<const Value> grad_output{};           // (T, B, P); padding is not read
    const Value* grad_final_hidden = nullptr;  // (B, P)
    const Value* grad_final_cell = nullptr;    // (B, H), LSTM only
    Kept<const Value> grad_kept{};  // of gates and of cell states; null where nobody read them

    // The gradients to compute; null where nobody wants them.
    Rows<Value> grad_input{};  // (T, B, I); zeros behind a sequence's end
    Weights<Value> grad_weights{};
    Value* grad_initial_hidden = nullptr;  // (B, P)
    Value* grad_initial_cell = nullptr;    // (B, H), LSTM only
};

// Numbers per unit and step in Kept::gates.
int kept_gates(Cell cell);

// Numbers per step in Kept::scales.
constexpr int kept_scales = 6;

// Both run on up to `threads` threads. Results do not depend on how many.
template <class Value>
void forward(const Forward<Value>& call, int threads);
template <class Value>
void backward(const Backward<Value>& call, int threads);

// One step of some sequences, again and again: for streams, where nothing may be allocated or packed
// anew. `run` reads what the call's pointers point to and writes the output and the final states; to
// go on from there, the final states are the initial ones.
class Step {
public:
    virtual ~Step() = default;
    virtual void run(Team& team, int part) noexcept = 0;
};

// Packs the weights and takes all memory, for up to `threads` threads. The call has one step and
// nothing to keep.
std::unique_ptr<Step> prepare_step(const Forward<float>& call, int threads);

// Takes steps one after the other, each on what the one before has left, on up to `threads` threads.
// On one, nothing is waited for.
void run(const std::vector<std::unique_ptr<Step>>& steps, int threads);

// How many of `threads` threads are worth waking for a call.
int threads_worth(const Forward<float>& call, int threads);

// Multiplies and adds in registers alone, `rounds` times on each thread; returns the operations
// done. What a benchmark divides by the time it took is the processor's bound in float32.
double probe(std::ptrdiff_t rounds, int threads);

// Reads `count` values through, `rounds` times, on one thread, and returns a sum of them: what the
// time it took says is the bandwidth of the cache that they fit in.
float read_through(const float* data, std::ptrdiff_t count, std::ptrdiff_t rounds);

// Lets calls run on the OpenMP threads of a library that the process has loaded, in place of threads
// of our own; false, and all as before, where it is not loaded or has none.
bool share_threads(const std::string& library);

// The processors that this process may use: its affinity, and its container's quota.
int available_threads();

// The instruction sets that this build carries and this processor has, slowest first.
std::vector<std::string> instruction_sets();

// The one in use: the fastest, unless the environment variable GATED_ISA or a call names another.
std::string instruction_set();

// Throws std::invalid_argument for a name that instruction_sets() does not list.
void set_instruction_set(const std::string& name);

}  // namespace gated
