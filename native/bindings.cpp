// The only file that knows Python. gated.core.ops checks what people pass; here an array of the
// wrong kind is a TypeError that nanobind raises.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "profile.h"
#include "rnn.h"

namespace nb = nanobind;

namespace {

template <class Value>
using Sequences = nb::ndarray<Value, nb::ndim<3>, nb::device::cpu>;
template <class Value, int dimensions>
using Dense = std::optional<nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>>;
template <class Value>
using Vector = Dense<Value, 1>;
template <class Value>
using Matrix = Dense<Value, 2>;

template <class Value>
gated::Rows<Value> rows(const Sequences<Value>& array) {
    return {array.data(), array.stride(0), array.stride(1)};
}

template <class Array>
auto data(const Array& array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

// The weights of a layer, in the order of gated.core.layout.Weights.
template <class Value>
struct Weights {
    Matrix<Value> input, hidden;
    Vector<Value> input_bias, hidden_bias;
    Matrix<Value> projection;
    Vector<Value> input_gain, hidden_gain, cell_gain, cell_bias;

    gated::Weights<Value> pointers() const {
        return {data(input),      data(hidden),     data(input_bias),
                data(hidden_bias), data(projection), data(input_gain),
                data(hidden_gain), data(cell_gain),  data(cell_bias)};
    }
};

// What a forward pass keeps.
template <class Value>
struct Kept {
    Dense<Value, 3> gates;
    Matrix<Value> cells;
    Dense<Value, 4> normalised;
    Matrix<Value> scales;

    gated::Kept<Value> pointers() const {
        return {data(gates), data(cells), data(normalised), data(scales)};
    }
};

// A layer together with the arrays that it points to.
template <class Value>
class Layer {
public:
    Layer(gated::Cell cell, Sequences<const Value> input, Vector<const std::int64_t> lengths,
          bool reverse, Weights<const Value> weights, Matrix<const Value> initial_hidden,
          Matrix<const Value> initial_cell, Matrix<const Value> hidden_mask,
          Matrix<const Value> weight_mask, gated::Zoneout zoneout)
        : input_(input), lengths_(lengths), weights_(weights),
          matrices_{initial_hidden, initial_cell, hidden_mask, weight_mask} {
        layer_.cell = cell;
        layer_.steps = input.shape(0);
        layer_.sequences = input.shape(1);
        layer_.inputs = input.shape(2);
        layer_.outputs = weights.hidden->shape(1);
        layer_.units = weights.projection ? weights.projection->shape(1) : layer_.outputs;
        layer_.lengths = data(lengths);
        layer_.reverse = reverse;
        layer_.input = rows(input);
        layer_.weights = weights_.pointers();
        layer_.initial_hidden = data(initial_hidden);
        layer_.initial_cell = data(initial_cell);
        layer_.hidden_mask = data(hidden_mask);
        layer_.weight_mask = data(weight_mask);
        layer_.zoneout = zoneout;
    }

    void forward(const Sequences<Value>& output, const Matrix<Value>& final_hidden,
                 const Matrix<Value>& final_cell, const Kept<Value>& kept, int threads) const {
        gated::Forward<Value> call{layer_};
        call.output = rows(output);
        call.final_hidden = data(final_hidden);
        call.final_cell = data(final_cell);
        call.kept = kept.pointers();
        nb::gil_scoped_release release;
        gated::forward(call, threads);
    }

    void backward(const Sequences<const Value>& output, const Kept<const Value>& kept,
                  const Sequences<const Value>& grad_output,
                  const Matrix<const Value>& grad_final_hidden,
                  const Matrix<const Value>& grad_final_cell,
                  const Kept<const Value>& grad_kept,
                  const std::optional<Sequences<Value>>& grad_input,
                  const Weights<Value>& grad_weights, const Matrix<Value>& grad_initial_hidden,
                  const Matrix<Value>& grad_initial_cell, int threads) const {
        gated::Backward<Value> call{layer_};
        call.output = rows(output);
        call.kept = kept.pointers();
        call.grad_output = rows(grad_output);
        call.grad_final_hidden = data(grad_final_hidden);
        call.grad_final_cell = data(grad_final_cell);
        call.grad_kept = grad_kept.pointers();
        if (grad_input) call.grad_input = rows(*grad_input);
        call.grad_weights = grad_weights.pointers();
        call.grad_initial_hidden = data(grad_initial_hidden);
        call.grad_initial_cell = data(grad_initial_cell);
        nb::gil_scoped_release release;
        gated::backward(call, threads);
    }

    static void define(nb::module_& module, const char* name) {
        using namespace nb::literals;
        const std::string suffix(name + 5);
        define_arrays<Value>(module, suffix);
        define_arrays<const Value>(module, "Read" + suffix);
        nb::class_<Layer>(module, name)
            .def(nb::init<gated::Cell, Sequences<const Value>, Vector<const std::int64_t>, bool,
                          Weights<const Value>, Matrix<const Value>, Matrix<const Value>,
                          Matrix<const Value>, Matrix<const Value>, gated::Zoneout>(),
                 "cell"_a, "input"_a, "lengths"_a.none(), "reverse"_a, "weights"_a,
                 "initial_hidden"_a.none(), "initial_cell"_a.none(), "hidden_mask"_a.none(),
                 "weight_mask"_a.none(), "zoneout"_a)
            .def("forward", &Layer::forward, "output"_a, "final_hidden"_a, "final_cell"_a.none(),
                 "kept"_a, "threads"_a)
            .def("backward", &Layer::backward, "output"_a, "kept"_a, "grad_output"_a,
                 "grad_final_hidden"_a.none(), "grad_final_cell"_a.none(), "grad_kept"_a,
                 "grad_input"_a.none(), "grad_weights"_a,
                 "grad_initial_hidden"_a.none(), "grad_initial_cell"_a.none(), "threads"_a);
    }

private:
    gated::Layer<Value> layer_;
    Sequences<const Value> input_;
    Vector<const std::int64_t> lengths_;
    Weights<const Value> weights_;
    Matrix<const Value> matrices_[4];

    template <class Stored>
    static void define_arrays(nb::module_& module, const std::string& suffix) {
        using namespace nb::literals;
        nb::class_<Weights<Stored>>(module, ("Weights" + suffix).c_str())
            .def(nb::init<Matrix<Stored>, Matrix<Stored>, Vector<Stored>, Vector<Stored>,
                          Matrix<Stored>, Vector<Stored>, Vector<Stored>, Vector<Stored>,
                          Vector<Stored>>(),
                 "weight_ih"_a.none(), "weight_hh"_a.none(), "bias_ih"_a.none(),
                 "bias_hh"_a.none(), "weight_hr"_a.none(), "gain_ih"_a.none(), "gain_hh"_a.none(),
                 "gain_cell"_a.none(), "bias_cell"_a.none());
        nb::class_<Kept<Stored>>(module, ("Kept" + suffix).c_str())
            .def(nb::init<Dense<Stored, 3>, Matrix<Stored>, Dense<Stored, 4>, Matrix<Stored>>(),
                 "gates"_a.none(), "cells"_a.none(), "normalised"_a.none(), "scales"_a.none());
    }
};

// Layers one upon the other, one step at a time, of one sequence or of some side by side. All arrays
// that it shows are its own.
class Stream {
public:
    struct LayerOfStream {
        gated::Cell cell;
        Weights<const float> weights;
        gated::Zoneout zoneout;
    };

    Stream(const std::vector<LayerOfStream>& layers, std::optional<std::ptrdiff_t> sequences,
           int threads)
        : sequences_(sequences) {
        const std::ptrdiff_t count = sequences.value_or(1);
        for (const LayerOfStream& given : layers) {
            gated::Forward<float> call;
            call.cell = given.cell;
            call.steps = 1;
            call.sequences = count;
            call.inputs = given.weights.input->shape(1);
            call.outputs = given.weights.hidden->shape(1);
            call.units =
                given.weights.projection ? given.weights.projection->shape(1) : call.outputs;
            call.weights = given.weights.pointers();
            call.zoneout = given.zoneout;
            if (steps_.empty()) input_.resize(count * call.inputs);
            const float* below =
                steps_.empty() ? input_.data() : states_[states_.size() - 2].data();
            call.input = {below, 0, call.inputs};
            call.output = {outputs_.emplace_back(count * call.outputs).data(), 0, call.outputs};
            call.initial_hidden = call.final_hidden = take(count * call.outputs);
            call.initial_cell = call.final_cell = take(count * call.units);
            threads_ = std::max(threads_, gated::threads_worth(call, threads));
            steps_.push_back(gated::prepare_step(call, threads));
        }
    }

    Stream(const Stream&) = delete;

    void run() const { gated::run(steps_, threads_); }

    // Takes a step from any buffer of the shape of the input, in one piece; returns false, and takes
    // none, for anything else. By the buffer itself: an ndarray costs half a microsecond.
    bool step(nb::handle x) {
        Py_buffer given;
        if (PyObject_GetBuffer(x.ptr(), &given, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
            PyErr_Clear();
            return false;
        }
        const bool as_many = sequences_ ? given.ndim == 2 && given.shape[0] == *sequences_
                                        : given.ndim == 1;
        const bool fits = as_many && std::strcmp(given.format, "f") == 0 &&
                          std::size_t(given.len) == input_.size() * sizeof(float);
        if (fits) std::memcpy(input_.data(), given.buf, given.len);
        PyBuffer_Release(&given);
        if (fits) run();
        return fits;
    }

    std::vector<float>& input() { return input_; }
    // The hidden and the cell state of each layer in turn.
    std::deque<std::vector<float>>& states() { return states_; }

private:
    const std::optional<std::ptrdiff_t> sequences_;  // none where arrays lack that dimension
    int threads_ = 1;
    std::vector<float> input_;
    std::deque<std::vector<float>> states_, outputs_;  // deques, so that growing moves none
    std::vector<std::unique_ptr<gated::Step>> steps_;

    float* take(std::ptrdiff_t count) {
        states_.emplace_back(count);
        return states_.back().data();
    }
};

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native core; gated.core.ops is its door.";

    nb::enum_<gated::Cell>(module, "Cell")
        .value("rnn_tanh", gated::Cell::rnn_tanh)
        .value("rnn_relu", gated::Cell::rnn_relu)
        .value("gru", gated::Cell::gru)
        .value("gru_reset_before", gated::Cell::gru_reset_before)
        .value("lstm", gated::Cell::lstm)
        .value("lstm_coupled", gated::Cell::lstm_coupled);

    nb::class_<gated::Zoneout>(module, "Zoneout")
        .def("__init__",
             [](gated::Zoneout* zoneout, double hidden, double cell,
                std::optional<std::uint64_t> seed) {
                 new (zoneout) gated::Zoneout{hidden, cell, seed.has_value(), seed.value_or(0)};
             },
             nb::arg("hidden") = 0.0, nb::arg("cell") = 0.0, nb::arg("seed") = nb::none());
    module.attr("kept_scales") = gated::kept_scales;
    module.def("kept_gates", &gated::kept_gates, nb::arg("cell"));
    module.def("probe", &gated::probe, nb::arg("rounds"), nb::arg("threads"),
               nb::call_guard<nb::gil_scoped_release>());
    module.def(
        "read_through",
        [](const nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>& array,
           std::ptrdiff_t rounds) {
            return gated::read_through(array.data(), std::ptrdiff_t(array.size()), rounds);
        },
        nb::arg("array"), nb::arg("rounds"));
    module.def("available_threads", &gated::available_threads);
#ifdef GATED_PROFILE
    module.def("profile", [] {
        static constexpr const char* names[] = {"elsewhere", "packing", "copying", "input product",
            "hidden product", "pointwise", "weight gradient", "waiting"};
        nb::dict ticks;
        for (int i = 0; i < int(gated::Phase::count); ++i)
            ticks[names[i]] = gated::ticks_of_phase[i].exchange(0);
        return ticks;
    }, "Ticks that threads spent in each phase since the last call.");
    module.def("ticks", &gated::ticks);
#endif
    module.def("share_threads", &gated::share_threads, nb::arg("library"));
    module.def("instruction_sets", &gated::instruction_sets);
    module.def("instruction_set", &gated::instruction_set);
    module.def("set_instruction_set", &gated::set_instruction_set, nb::arg("name"));
    Layer<float>::define(module, "Layer32");
    Layer<double>::define(module, "Layer64");

    using View = nb::ndarray<nb::numpy, float, nb::ndim<1>>;
    nb::class_<Stream>(module, "Stream")
        .def("__init__",
             [](Stream* stream, const std::vector<nb::tuple>& layers,
                std::optional<std::ptrdiff_t> sequences, int threads) {
                 std::vector<Stream::LayerOfStream> given;
                 for (const nb::tuple& layer : layers)
                     given.push_back({nb::cast<gated::Cell>(layer[0]),
                                      nb::cast<Weights<const float>>(layer[1]),
                                      nb::cast<gated::Zoneout>(layer[2])});
                 new (stream) Stream(given, sequences, threads);
             },
             nb::arg("layers"), nb::arg("sequences").none(), nb::arg("threads"))
        .def("run", &Stream::run)
        .def("repeat",
             [](Stream& stream, std::ptrdiff_t times) {
                 nb::gil_scoped_release release;
                 for (std::ptrdiff_t i = 0; i < times; ++i) stream.run();
             },
             nb::arg("times"))
        .def("step", &Stream::step, nb::arg("x").none())
        .def_prop_ro("input", [](Stream& stream) {
            return View(stream.input().data(), {stream.input().size()}, nb::find(stream)).cast();
        })
        .def_prop_ro("states", [](Stream& stream) {
            nb::list views;
            for (std::vector<float>& state : stream.states())
                views.append(View(state.data(), {state.size()}, nb::find(stream)).cast());
            return views;
        });
}
