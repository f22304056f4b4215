// The only file that knows Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "rnn.h"

namespace nb = nanobind;

NB_MODULE(_native, module) {
    module.doc() = "The native core; gated.core.ops is its door.";
    module.def("instruction_sets", &gated::instruction_sets);
    module.def("instruction_set", &gated::instruction_set);
    module.def("set_instruction_set", &gated::set_instruction_set, nb::arg("name"));
}
