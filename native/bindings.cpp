// The only file that knows Python. gated.core.ops checks what people pass; here an array of the
// wrong kind is a TypeError that nanobind raises.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "rnn.h"

namespace nb = nanobind;

namespace {

template <class Value, int dimensions>
using Strided = nb::ndarray<Value, nb::ndim<dimensions>, nb::device::cpu>;
template <class Value, int dimensions>
using Dense = nb::ndarray<Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

template <class Value>
gated::Rows<Value> rows(const Strided<Value, 3>& array) {
    return {array.data(), array.stride(0), array.stride(1)};
}

template <class Array>
auto data(const std::optional<Array>& array) -> decltype(array->data()) {
    return array ? array->data() : nullptr;
}

template <class Value>
void forward(gated::Cell cell, const Strided<const Value, 3>& input,
             const std::optional<Dense<const std::int64_t, 1>>& lengths, bool reverse,
             const Dense<const Value, 2>& weight_ih, const Dense<const Value, 2>& weight_hh,
             const std::optional<Dense<const Value, 1>>& bias_ih,
             const std::optional<Dense<const Value, 1>>& bias_hh,
             const std::optional<Dense<const Value, 2>>& initial_hidden,
             const std::optional<Dense<const Value, 2>>& initial_cell,
             const Strided<Value, 3>& output, const Dense<Value, 2>& final_hidden,
             const std::optional<Dense<Value, 2>>& final_cell,
             const std::optional<Dense<Value, 3>>& gates,
             const std::optional<Dense<Value, 2>>& cells, int threads) {
    gated::Forward<Value> call;
    call.cell = cell;
    call.steps = input.shape(0);
    call.sequences = input.shape(1);
    call.inputs = input.shape(2);
    call.units = weight_hh.shape(1);
    call.lengths = data(lengths);
    call.reverse = reverse;
    call.input = rows(input);
    call.weights = {weight_ih.data(), weight_hh.data(), data(bias_ih), data(bias_hh)};
    call.initial_hidden = data(initial_hidden);
    call.initial_cell = data(initial_cell);
    call.output = rows(output);
    call.final_hidden = final_hidden.data();
    call.final_cell = data(final_cell);
    call.gates = data(gates);
    call.cells = data(cells);
    nb::gil_scoped_release release;
    gated::forward(call, threads);
}

template <class Value>
void define_forward(nb::module_& module) {
    using namespace nb::literals;
    module.def("forward", &forward<Value>, "cell"_a, "input"_a, "lengths"_a.none(), "reverse"_a,
               "weight_ih"_a, "weight_hh"_a, "bias_ih"_a.none(), "bias_hh"_a.none(),
               "initial_hidden"_a.none(), "initial_cell"_a.none(), "output"_a, "final_hidden"_a,
               "final_cell"_a.none(), "gates"_a.none(), "cells"_a.none(), "threads"_a);
}

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native core; gated.core.ops is its door.";

    nb::enum_<gated::Cell>(module, "Cell")
        .value("rnn_tanh", gated::Cell::rnn_tanh)
        .value("rnn_relu", gated::Cell::rnn_relu)
        .value("gru", gated::Cell::gru)
        .value("lstm", gated::Cell::lstm);

    module.def("kept_gates", &gated::kept_gates, nb::arg("cell"));
    module.def("available_threads", &gated::available_threads);
    module.def("instruction_sets", &gated::instruction_sets);
    module.def("instruction_set", &gated::instruction_set);
    module.def("set_instruction_set", &gated::set_instruction_set, nb::arg("name"));
    define_forward<float>(module);
    define_forward<double>(module);
}
