// The only file that knows Python. gated.core.ops checks what people pass; here an array of the
// wrong kind is a TypeError that nanobind raises.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "profile.h"
#include "rnn.h"

namespace nb = nanobind;

namespace {

template <class Value, int dimensions>
using Dense = std::optional<nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>>;
template <class Value>
using Vector = Dense<Value, 1>;
template <class Value>
using Matrix = Dense<Value, 2>;

template <class Array>
auto data(const Array& array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

// Arrays of any shape, in one piece.
template <class Value>
using Array = std::optional<nb::ndarray<Value, nb::c_contig, nb::device::cpu>>;
template <class Value>
using Arrays = std::vector<Array<Value>>;

template <class Value>
std::vector<Value*> pointers(const Arrays<Value>& arrays) {
    std::vector<Value*> found;
    for (const auto& array : arrays) found.push_back(data(array));
    return found;
}

// Arrays of values or, of float32, of narrow numbers, by their bits as uint16.
template <class... Annotations>
using Stored = nb::ndarray<nb::device::cpu, Annotations...>;
template <class... Annotations>
using StoredArrays = std::vector<std::optional<Stored<nb::c_contig, Annotations...>>>;

template <class Value, class Array>
bool is_narrow(const Array& array) {
    if (array.dtype() == nb::dtype<std::remove_const_t<Value>>()) return false;
    if (std::is_same_v<std::remove_const_t<Value>, float> &&
        array.dtype() == nb::dtype<gated::Narrow>())
        return true;
    throw nb::type_error("an array of steps has another dtype than its layer, which is not uint16");
}

template <class Value, class Array>
gated::Rows<Value> stored_rows(const Array& array) {
    return {static_cast<Value*>(array.data()), array.stride(0), array.stride(1), nullptr,
            is_narrow<Value>(array)};
}

// What was kept: all of it narrow, or nothing.
template <class Value, class Array, class Arrays>
gated::Kept<Value> stored_kept(const Array& values, const Arrays& history) {
    gated::Kept<Value> kept;
    std::optional<bool> narrow;
    const auto place = [&](const auto& array) -> Value* {
        if (!array) return nullptr;
        if (narrow.value_or(is_narrow<Value>(*array)) != is_narrow<Value>(*array))
            throw nb::type_error("of what is kept, some arrays are narrow and some are not");
        narrow = is_narrow<Value>(*array);
        return static_cast<Value*>(array->data());
    };
    kept.values = place(values);
    for (const auto& of : history) kept.history.push_back(place(of));
    kept.is_narrow = narrow.value_or(false);
    return kept;
}

using gated::Numbers;

gated::Zoneout zoneout_of(const std::vector<double>& probabilities,
                          std::optional<std::uint64_t> seed) {
    return {probabilities, seed.has_value(), seed.value_or(0)};
}

// Weights and biases of the matrices of a cell.
template <class Value>
std::vector<gated::Matrix<Value>> matrices_of(const Arrays<Value>& weights,
                                              const Arrays<Value>& biases) {
    std::vector<gated::Matrix<Value>> found;
    for (std::size_t i = 0; i < weights.size(); ++i)
        found.push_back({data(weights[i]), data(biases[i])});
    return found;
}

// A layer together with the arrays that it points to.
template <class Value>
class Layer {
public:
    using Read = Arrays<const Value>;

    using Input = Stored<nb::ndim<3>, nb::ro>;
    using Output = Stored<nb::ndim<3>>;

    Layer(const gated::Cell& cell, Input input, std::ptrdiff_t units,
          std::ptrdiff_t outputs, Vector<const std::int64_t> lengths, bool reverse, Read weights,
          Read biases, Read parameters, Read sequence, Read per_step, Read initial,
          const std::vector<double>& zoneout, std::optional<std::uint64_t> seed,
          gated::Format stored_as)
        : cell_(cell), input_(input), lengths_(lengths),
          arrays_{weights, biases, parameters, sequence, per_step, initial} {
        layer_.cell = &cell_;
        layer_.format = stored_as;
        layer_.steps = input.shape(0);
        layer_.sequences = input.shape(1);
        layer_.inputs = input.shape(2);
        layer_.units = units;
        layer_.outputs = outputs;
        layer_.lengths = data(lengths);
        layer_.reverse = reverse;
        layer_.input = stored_rows<const Value>(input);
        layer_.matrices = matrices_of(weights, biases);
        layer_.parameters = pointers(parameters);
        layer_.sequence = pointers(sequence);
        layer_.per_step = pointers(per_step);
        layer_.initial = pointers(initial);
        layer_.zoneout = zoneout_of(zoneout, seed);
    }

    void forward(const Output& output, const Arrays<Value>& final_states,
                 const std::optional<Stored<nb::c_contig>>& kept, const StoredArrays<>& history,
                 int threads) const {
        gated::Forward<Value> call;
        static_cast<gated::Layer<Value>&>(call) = layer_;
        call.output = stored_rows<Value>(output);
        call.final_states = pointers(final_states);
        call.kept = stored_kept<Value>(kept, history);
        nb::gil_scoped_release release;
        gated::forward(call, threads);
    }

    void backward(const Input& output, const std::optional<Stored<nb::c_contig, nb::ro>>& kept,
                  const StoredArrays<nb::ro>& history, const Input& grad_output,
                  const Read& grad_final, const Array<const Value>& grad_kept,
                  const Read& grad_history, const std::optional<Output>& grad_input,
                  const Arrays<Value>& grad_weights, const Arrays<Value>& grad_biases,
                  const Arrays<Value>& grad_parameters, const Arrays<Value>& grad_per_step,
                  const Arrays<Value>& grad_initial, int threads) const {
        gated::Backward<Value> call;
        static_cast<gated::Layer<Value>&>(call) = layer_;
        call.output = stored_rows<const Value>(output);
        call.kept = stored_kept<const Value>(kept, history);
        call.grad_output = stored_rows<const Value>(grad_output);
        call.grad_final = pointers(grad_final);
        call.grad_kept = {data(grad_kept), pointers(grad_history)};
        if (grad_input) call.grad_input = stored_rows<Value>(*grad_input);
        call.grad_matrices = matrices_of(grad_weights, grad_biases);
        call.grad_parameters = pointers(grad_parameters);
        call.grad_per_step = pointers(grad_per_step);
        call.grad_initial = pointers(grad_initial);
        nb::gil_scoped_release release;
        gated::backward(call, threads);
    }

    static void define(nb::module_& module, const char* name) {
        using namespace nb::literals;
        nb::class_<Layer>(module, name)
            .def(nb::init<const gated::Cell&, Input, std::ptrdiff_t,
                          std::ptrdiff_t, Vector<const std::int64_t>, bool, Read, Read, Read, Read,
                          Read, Read, const std::vector<double>&, std::optional<std::uint64_t>,
                          gated::Format>(),
                 "cell"_a, "input"_a, "units"_a, "outputs"_a, "lengths"_a.none(), "reverse"_a,
                 "weights"_a, "biases"_a, "parameters"_a, "sequence"_a, "per_step"_a, "initial"_a,
                 "zoneout"_a, "seed"_a.none(), "stored_as"_a, nb::keep_alive<1, 2>())
            .def("forward", &Layer::forward, "output"_a, "final_states"_a, "kept"_a.none(),
                 "history"_a, "threads"_a)
            .def("backward", &Layer::backward, "output"_a, "kept"_a.none(), "history"_a,
                 "grad_output"_a, "grad_final"_a, "grad_kept"_a.none(), "grad_history"_a,
                 "grad_input"_a.none(), "grad_weights"_a, "grad_biases"_a, "grad_parameters"_a,
                 "grad_per_step"_a, "grad_initial"_a, "threads"_a);
    }

private:
    const gated::Cell& cell_;
    gated::Layer<Value> layer_;
    Input input_;
    Vector<const std::int64_t> lengths_;
    Read arrays_[6];
};

// A layer with nothing beside its equations, by the addresses of arrays: an ndarray costs more than
// some of a short call's work. The caller has checked all of them and keeps them.
template <class Value>
class PlainLayer {
public:
    using Address = std::uintptr_t;
    using Addresses = std::vector<Address>;
    using Place = std::tuple<Address, std::ptrdiff_t, std::ptrdiff_t>;  // and distances, in values
    // T, B, the address of the lengths or 0, and whether the rows are packed.
    using Batch = std::tuple<std::ptrdiff_t, std::ptrdiff_t, Address, bool>;

    PlainLayer(const gated::Cell& cell, std::ptrdiff_t inputs, std::ptrdiff_t units,
               std::ptrdiff_t outputs, bool reverse, const Addresses& weights,
               const Addresses& biases, const Addresses& parameters, gated::Format stored_as)
        : cell_(cell) {
        layer_.cell = &cell_;
        layer_.format = stored_as;
        layer_.inputs = inputs;
        layer_.units = units;
        layer_.outputs = outputs;
        layer_.reverse = reverse;
        layer_.matrices = matrices_at<const Value>(weights, biases);
        layer_.parameters = at<const Value>(parameters);
        layer_.zoneout.probabilities.resize(cell.states.size());
    }

    void forward(const Batch& batch, const Place& input, const Addresses& initial,
                 const Place& output, const Addresses& final_states, Address kept,
                 const Addresses& history, int threads) const {
        auto call = call_of<gated::Forward<Value>>(batch, input, initial);
        call.output = rows_at<Value>(output);
        call.final_states = at<Value>(final_states);
        call.kept = {at<Value>(kept), at<Value>(history)};
        nb::gil_scoped_release release;
        gated::forward(call, threads);
    }

    void backward(const Batch& batch, const Place& input, const Addresses& initial,
                  const Place& output, Address kept, const Addresses& history,
                  const Place& grad_output, const Addresses& grad_final, const Place& grad_input,
                  const Addresses& grad_weights, const Addresses& grad_biases,
                  const Addresses& grad_parameters, const Addresses& grad_initial,
                  int threads) const {
        auto call = call_of<gated::Backward<Value>>(batch, input, initial);
        call.output = rows_at<const Value>(output);
        call.kept = {at<const Value>(kept), at<const Value>(history)};
        call.grad_output = rows_at<const Value>(grad_output);
        call.grad_final = at<const Value>(grad_final);
        call.grad_kept.history.resize(history.size());
        call.grad_input = rows_at<Value>(grad_input);
        call.grad_matrices = matrices_at<Value>(grad_weights, grad_biases);
        call.grad_parameters = at<Value>(grad_parameters);
        call.grad_initial = at<Value>(grad_initial);
        nb::gil_scoped_release release;
        gated::backward(call, threads);
    }

    static void define(nb::module_& module, const char* name) {
        nb::class_<PlainLayer>(module, name)
            .def(nb::init<const gated::Cell&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, bool,
                          const Addresses&, const Addresses&, const Addresses&, gated::Format>(),
                 nb::keep_alive<1, 2>())
            .def("forward", &PlainLayer::forward)
            .def("backward", &PlainLayer::backward);
    }

private:
    const gated::Cell& cell_;
    gated::Layer<Value> layer_;

    template <class Call>
    Call call_of(const Batch& batch, const Place& input, const Addresses& initial) const {
        Call call;
        static_cast<gated::Layer<Value>&>(call) = layer_;
        std::tie(call.steps, call.sequences, std::ignore, call.packed) = batch;
        call.lengths = at<const std::int64_t>(std::get<2>(batch));
        call.input = rows_at<const Value>(input);
        call.initial = at<const Value>(initial);
        return call;
    }

    template <class V>
    static V* at(Address address) {
        return reinterpret_cast<V*>(address);
    }
    template <class V>
    static std::vector<V*> at(const Addresses& addresses) {
        std::vector<V*> found;
        for (const Address address : addresses) found.push_back(at<V>(address));
        return found;
    }
    template <class V>
    static gated::Rows<V> rows_at(const Place& place) {
        return {at<V>(std::get<0>(place)), std::get<1>(place), std::get<2>(place)};
    }
    template <class V>
    static std::vector<gated::Matrix<V>> matrices_at(const Addresses& weights,
                                                     const Addresses& biases) {
        std::vector<gated::Matrix<V>> found;
        for (std::size_t i = 0; i < weights.size(); ++i)
            found.push_back({at<V>(weights[i]), at<V>(biases[i])});
        return found;
    }
};

// Layers one upon the other, one step at a time, of one sequence or of some side by side. All arrays
// that it shows are its own.
class Stream {
public:
    struct LayerOfStream {
        const gated::Cell* cell;
        std::ptrdiff_t inputs, units, outputs;
        Arrays<const float> weights, biases, parameters;
        std::vector<double> zoneout;
    };

    Stream(const std::vector<LayerOfStream>& layers, std::optional<std::ptrdiff_t> sequences,
           int threads, gated::Format format)
        : sequences_(sequences) {
        const std::ptrdiff_t count = sequences.value_or(1);
        for (const LayerOfStream& given : layers) {
            gated::Forward<float> call;
            call.cell = given.cell;
            call.format = format;
            call.steps = 1;
            call.sequences = count;
            call.inputs = given.inputs;
            call.outputs = given.outputs;
            call.units = given.units;
            call.matrices = matrices_of(given.weights, given.biases);
            call.parameters = pointers(given.parameters);
            call.zoneout = zoneout_of(given.zoneout, std::nullopt);
            if (steps_.empty()) input_.resize(count * call.inputs);
            const float* below = steps_.empty() ? input_.data() : outputs_.back().data();
            const std::ptrdiff_t width = call.of(given.cell->states[0]);
            call.input = {below, 0, call.inputs};
            call.output = {outputs_.emplace_back(count * width).data(), 0, width};
            for (const gated::Width state : given.cell->states) {
                float* values = states_.emplace_back(count * call.of(state)).data();
                call.initial.push_back(values);
                call.final_states.push_back(values);
            }
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
    // The states of each layer in turn.
    std::deque<std::vector<float>>& states() { return states_; }
    std::deque<std::vector<float>>& outputs() { return outputs_; }

private:
    const std::optional<std::ptrdiff_t> sequences_;  // none where arrays lack that dimension
    int threads_ = 1;
    std::vector<float> input_;
    std::deque<std::vector<float>> states_, outputs_;  // deques, so that growing moves none
    std::vector<std::unique_ptr<gated::Step>> steps_;
};

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native core; gated.core.ops is its door.";
    nb::set_leak_warnings(false);  // cells are kept for as long as the process lives

    nb::class_<gated::Plan>(module, "Plan")
        .def("__init__", [](gated::Plan* plan, const Numbers& operands,
                            const std::vector<int>& slots, const std::vector<int>& kept,
                            const std::vector<double>& constants,
                            const std::vector<int>& constant_widths, int stages,
                            const Numbers& products, const Numbers& segments,
                            const std::vector<std::string>& digests, const Numbers& vectors,
                            const Numbers& per_step, const Numbers& grad_per_step,
                            const Numbers& summed, int grad_input) {
            new (plan) gated::Plan(gated::plan_of(operands, slots, kept, constants, constant_widths,
                                           stages, products, segments, digests, vectors, per_step,
                                           grad_per_step, summed, grad_input));
        })
        .def_prop_ro("compiled", [](const gated::Plan& plan) {
            int count = 0;
            for (const gated::Stage& stage : plan.stages)
                for (const gated::Segment& segment : stage.segments) count += segment.compiled >= 0;
            return count;
        }, "How many of its segments were compiled.");
    nb::class_<gated::Cell>(module, "Cell")
        .def("__init__", [](gated::Cell* cell, const Numbers& matrices,
                            const std::vector<int>& parameters, const std::vector<int>& sequence,
                            const std::vector<int>& states, const std::vector<int>& per_step,
                            bool output_is_hidden,
                            const gated::Plan& inference, const gated::Plan& training,
                            const gated::Plan& backward, const gated::Plan& backward_of_gates) {
            new (cell) gated::Cell(gated::cell_of(matrices, parameters, sequence, states, per_step,
                                                  output_is_hidden, inference, training, backward,
                                                  backward_of_gates));
        });
    module.attr("kept_one") = gated::kept_one;
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
    nb::enum_<gated::Format>(module, "Format")
        .value("float32", gated::Format::as_given)
        .value("bfloat16", gated::Format::bfloat16)
        .value("int8", gated::Format::int8)
        .value("bfloat16x3", gated::Format::bfloat16x3);
    module.def("multiply_thrice_everywhere", &gated::multiply_thrice_everywhere, nb::arg("everywhere"),
               "Lets bfloat16x3 multiply three times on all processors, for tests.");
    Layer<float>::define(module, "Layer32");
    Layer<double>::define(module, "Layer64");
    PlainLayer<float>::define(module, "PlainLayer32");
    PlainLayer<double>::define(module, "PlainLayer64");

    using View = nb::ndarray<nb::numpy, float, nb::ndim<1>>;
    nb::class_<Stream>(module, "Stream")
        .def("__init__",
             [](Stream* stream, const std::vector<nb::tuple>& layers,
                std::optional<std::ptrdiff_t> sequences, int threads, gated::Format stored_as) {
                 std::vector<Stream::LayerOfStream> given;
                 for (const nb::tuple& of : layers)
                     given.push_back({&nb::cast<const gated::Cell&>(of[0]),
                                      nb::cast<std::ptrdiff_t>(of[1]),
                                      nb::cast<std::ptrdiff_t>(of[2]),
                                      nb::cast<std::ptrdiff_t>(of[3]),
                                      nb::cast<Arrays<const float>>(of[4]),
                                      nb::cast<Arrays<const float>>(of[5]),
                                      nb::cast<Arrays<const float>>(of[6]),
                                      nb::cast<std::vector<double>>(of[7])});
                 new (stream) Stream(given, sequences, threads, stored_as);
             },
             nb::arg("layers"), nb::arg("sequences").none(), nb::arg("threads"), nb::arg("stored_as"),
             nb::keep_alive<1, 2>())
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
        .def_prop_ro("output", [](Stream& stream) {
            std::vector<float>& output = stream.outputs().back();
            return View(output.data(), {output.size()}, nb::find(stream)).cast();
        }, "The last layer's output.")
        .def_prop_ro("states", [](Stream& stream) {
            nb::list views;
            for (std::vector<float>& state : stream.states())
                views.append(View(state.data(), {state.size()}, nb::find(stream)).cast());
            return views;
        });
}
