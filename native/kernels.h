// What every instruction set offers to the rest of the core.
#pragma once

namespace gated {

struct Kernels {
    const char* name;
};

namespace baseline {
extern const Kernels kernels;
}
#ifdef GATED_X86
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

// The kernels of the instruction set in use.
const Kernels& kernels();

}  // namespace gated
