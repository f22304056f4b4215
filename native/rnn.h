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
#include <type_traits>
#include <vector>

#include "plan.h"

namespace gated {

class Team;  // of threads.h

// A number in bfloat16, by its bits: the upper half of a float, rounded to nearest and to even.
using Narrow = std::uint16_t;

// Memory of values that is said to have narrow numbers in it.
template <class Value>
auto* narrow_in(Value* memory) {
    return reinterpret_cast<std::conditional_t<std::is_const_v<Value>, const Narrow, Narrow>*>(memory);
}

// An array (T, B, features): features lie side by side, steps and sequences anywhere. Or, as in a
// PackedSequence, rows of real steps alone, (N, features).
template <class Value>
struct Rows {
    Value* data = nullptr;
    std::ptrdiff_t step = 0;      // distance of two steps, in values; where packed, of two rows
    std::ptrdiff_t sequence = 0;  // distance of two sequences, in values
    const std::ptrdiff_t* packed = nullptr;  // the row at which each step begins
    bool is_narrow = false;  // of float32: the numbers there are narrow, to be reached by `narrow_at`

    Value* at(std::ptrdiff_t t, std::ptrdiff_t b) const { return data + place(t, b); }
    auto* narrow_at(std::ptrdiff_t t, std::ptrdiff_t b) const { return narrow_in(data) + place(t, b); }

private:
    std::ptrdiff_t place(std::ptrdiff_t t, std::ptrdiff_t b) const {
        return packed ? (packed[t] + b) * step : t * step + b * sequence;
    }
};

// A weight matrix of a cell, as PyTorch shapes it: (blocks·rows, columns).
template <class Value>
struct Matrix {
    Value* weight = nullptr;
    Value* bias = nullptr;  // (blocks·rows), or null
};

// Units that keep their old value (Krueger et al. 2017).
struct Zoneout {
    std::vector<double> probabilities;  // of each state
    bool samples = false;               // draws for each unit and step, or mixes by the probability
    std::uint64_t seed = 0;
};

// How packed weights are stored. Sums and states have the precision of the values.
enum class Format {
    as_given,
    bfloat16,    // rounded to nearest; of float32
    int8,        // by a scale for each row of a matrix; of float32
    bfloat16x3,  // as given, multiplied by three products of bfloat16 where that is quicker; of float32
};

// One layer in one direction, over whole sequences.
template <class Value>
struct Layer {
    const Cell* cell = nullptr;
    Format format = Format::as_given;
    std::ptrdiff_t steps = 0, sequences = 0, inputs = 0, units = 0, outputs = 0;  // T, B, I, H, P
    const std::int64_t* lengths = nullptr;                           // (B) in 0…T, or null for T
    bool reverse = false;  // from each sequence's last real step to its first
    bool packed = false;   // input, output and their gradients are; lengths do not rise then
    Rows<const Value> input{};
    std::vector<Matrix<const Value>> matrices;
    std::vector<const Value*> parameters;  // (blocks, H), or one number
    std::vector<const Value*> sequence;    // (B, width), the same at all steps
    std::vector<const Value*> per_step;    // (T, B, width)
    std::vector<const Value*> initial;     // (B, width) of each state, or null for zeros
    Zoneout zoneout{};

    std::ptrdiff_t of(Width width) const {
        switch (width) {
            case Width::units: return units;
            case Width::inputs: return inputs;
            case Width::outputs: return outputs;
            case Width::one: break;
        }
        return 1;
    }
};

// What the backward pass and whoever looks inside need of a forward pass. Rows of real steps only,
// by time and then by falling length, as in a PackedSequence.
template <class Value>
struct Kept {
    Value* values = nullptr;      // (N, …) of the plan `training`; one number takes kept_one
    std::vector<Value*> history;  // (N, width) of each state, null where it is the output
    bool is_narrow = false;       // of float32: all these numbers are
};

// Numbers that a single one takes among what is kept: as many as the widest vector has.
constexpr int kept_one = 16;

template <class Value>
struct Forward : Layer<Value> {
    Rows<Value> output{};              // (T, B, P); zeros behind a sequence's end
    std::vector<Value*> final_states;  // (B, width)
    Kept<Value> kept{};                // null where it is not wanted: all of it, or the values
};

template <class Value>
struct Backward : Layer<Value> {
    // What the forward pass left. Values that are null are computed anew.
    Rows<const Value> output{};
    Kept<const Value> kept{};

    // The gradients of its results.
    Rows<const Value> grad_output{};            // (T, B, P); padding is not read
    std::vector<const Value*> grad_final;       // (B, width), or null
    Kept<const Value> grad_kept{};  // of what was kept; null where nobody read it, or all given

    // The gradients to compute; null where nobody wants them.
    Rows<Value> grad_input{};  // (T, B, I); zeros behind a sequence's end
    std::vector<Matrix<Value>> grad_matrices;
    std::vector<Value*> grad_parameters;
    std::vector<Value*> grad_per_step;  // (T, B, width)
    std::vector<Value*> grad_initial;
};

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

// Lets Format::bfloat16x3 multiply three times on all processors, for tests; else AMX alone does.
void multiply_thrice_everywhere(bool everywhere);

}  // namespace gated
