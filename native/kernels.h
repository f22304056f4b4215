// What every instruction set offers to the rest of the core.
#pragma once

#include "rnn.h"
#include "schedule.h"
#include "threads.h"

namespace gated {

struct Kernels {
    const char* name;
    void (*forward32)(const Forward<float>&, const Schedule&, Team&);
    void (*forward64)(const Forward<double>&, const Schedule&, Team&);
    void (*backward32)(const Backward<float>&, const Schedule&, Team&);
    void (*backward64)(const Backward<double>&, const Schedule&, Team&);
    std::unique_ptr<Step> (*prepare_step)(const Forward<float>&, int threads);
    float (*read_through)(const float*, std::ptrdiff_t count, std::ptrdiff_t rounds);
    double (*probe)(std::ptrdiff_t rounds, Team&);
};

namespace baseline {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512_on_avx2 {  // the widths of AVX-512 on a processor without it, for tests
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

// The kernels of the instruction set in use.
const Kernels& kernels();

}  // namespace gated
