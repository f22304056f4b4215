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

// A layer together with the arrays that it points to.
template <class Value>
class Layer {
public:
    Layer(gated::Cell cell, Sequences<const Value> input, Vector<const std::int64_t> lengths,
          bool reverse, Matrix<const Value> weight_ih, Matrix<const Value> weight_hh,
          Vector<const Value> bias_ih, Vector<const Value> bias_hh,
          Matrix<const Value> initial_hidden, Matrix<const Value> initial_cell)
        : input_(input), lengths_(lengths), weights_{weight_ih, weight_hh},
          biases_{bias_ih, bias_hh}, initial_{initial_hidden, initial_cell} {
        layer_.cell = cell;
        layer_.steps = input.shape(0);
        layer_.sequences = input.shape(1);
        layer_.inputs = input.shape(2);
        layer_.units = weight_hh->shape(1);
        layer_.lengths = data(lengths);
        layer_.reverse = reverse;
        layer_.input = rows(input);
        layer_.weights = {data(weight_ih), data(weight_hh), data(bias_ih), data(bias_hh)};
        layer_.initial_hidden = data(initial_hidden);
        layer_.initial_cell = data(initial_cell);
    }

    void forward(const Sequences<Value>& output, const Matrix<Value>& final_hidden,
                 const Matrix<Value>& final_cell, const Dense<Value, 3>& gates,
                 const Matrix<Value>& cells, int threads) const {
        gated::Forward<Value> call{layer_};
        call.output = rows(output);
        call.final_hidden = data(final_hidden);
        call.final_cell = data(final_cell);
        call.gates = data(gates);
        call.cells = data(cells);
        nb::gil_scoped_release release;
        gated::forward(call, threads);
    }

    void backward(const Sequences<const Value>& output, const Dense<const Value, 3>& gates,
                  const Matrix<const Value>& cells, const Sequences<const Value>& grad_output,
                  const Matrix<const Value>& grad_final_hidden,
                  const Matrix<const Value>& grad_final_cell,
                  const std::optional<Sequences<Value>>& grad_input,
                  const Matrix<Value>& grad_weight_ih, const Matrix<Value>& grad_weight_hh,
                  const Vector<Value>& grad_bias_ih, const Vector<Value>& grad_bias_hh,
                  const Matrix<Value>& grad_initial_hidden,
                  const Matrix<Value>& grad_initial_cell, int threads) const {
        gated::Backward<Value> call{layer_};
        call.output = rows(output);
        call.gates = data(gates);
        call.cells = data(cells);
        call.grad_output = rows(grad_output);
        call.grad_final_hidden = data(grad_final_hidden);
        call.grad_final_cell = data(grad_final_cell);
        if (grad_input) call.grad_input = rows(*grad_input);
        call.grad_weights = {data(grad_weight_ih), data(grad_weight_hh), data(grad_bias_ih),
                             data(grad_bias_hh)};
        call.grad_initial_hidden = data(grad_initial_hidden);
        call.grad_initial_cell = data(grad_initial_cell);
        nb::gil_scoped_release release;
        gated::backward(call, threads);
    }

    static void define(nb::module_& module, const char* name) {
        using namespace nb::literals;
        nb::class_<Layer>(module, name)
            .def(nb::init<gated::Cell, Sequences<const Value>, Vector<const std::int64_t>, bool,
                          Matrix<const Value>, Matrix<const Value>, Vector<const Value>,
                          Vector<const Value>, Matrix<const Value>, Matrix<const Value>>(),
                 "cell"_a, "input"_a, "lengths"_a.none(), "reverse"_a, "weight_ih"_a,
                 "weight_hh"_a, "bias_ih"_a.none(), "bias_hh"_a.none(),
                 "initial_hidden"_a.none(), "initial_cell"_a.none())
            .def("forward", &Layer::forward, "output"_a, "final_hidden"_a, "final_cell"_a.none(),
                 "gates"_a.none(), "cells"_a.none(), "threads"_a)
            .def("backward", &Layer::backward, "output"_a, "gates"_a, "cells"_a.none(),
                 "grad_output"_a, "grad_final_hidden"_a.none(), "grad_final_cell"_a.none(),
                 "grad_input"_a.none(), "grad_weight_ih"_a.none(), "grad_weight_hh"_a.none(),
                 "grad_bias_ih"_a.none(), "grad_bias_hh"_a.none(),
                 "grad_initial_hidden"_a.none(), "grad_initial_cell"_a.none(), "threads"_a);
    }

private:
    gated::Layer<Value> layer_;
    Sequences<const Value> input_;
    Vector<const std::int64_t> lengths_;
    Matrix<const Value> weights_[2];
    Vector<const Value> biases_[2];
    Matrix<const Value> initial_[2];
};

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "The native core; gated.core.ops is its door.";

    nb::enum_<gated::Cell>(module, "Cell")
        .value("rnn_tanh", gated::Cell::rnn_tanh)
        .value("rnn_relu", gated::Cell::rnn_relu)
        .value("gru", gated::Cell::gru)
        .value("lstm", gated::Cell::lstm);

    module.def("kept_gates", &gated::kept_gates, nb::arg("cell"));
    module.def("probe", &gated::probe, nb::arg("rounds"), nb::arg("threads"),
               nb::call_guard<nb::gil_scoped_release>());
    module.def("available_threads", &gated::available_threads);
    module.def("instruction_sets", &gated::instruction_sets);
    module.def("instruction_set", &gated::instruction_set);
    module.def("set_instruction_set", &gated::set_instruction_set, nb::arg("name"));
    Layer<float>::define(module, "Layer32");
    Layer<double>::define(module, "Layer64");
}
