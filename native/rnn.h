// The whole C++ interface of the native core. Nothing here knows Python.
//
// Shapes: T steps, B sequences, I input features, H hidden units, G gates of the cell.
#pragma once

#include <string>
#include <vector>

namespace gated {

// The instruction sets that this build carries and this processor has, slowest first.
std::vector<std::string> instruction_sets();

// The one in use: the fastest, unless the environment variable GATED_ISA or a call names another.
std::string instruction_set();

// Throws std::invalid_argument for a name that instruction_sets() does not list.
void set_instruction_set(const std::string& name);

}  // namespace gated
