// The kernels of one instruction set: included once by each file beside this one, which says
//
//   GATED_TARGET        its name, and the namespace
//   GATED_VECTOR_BYTES  the width of its vectors
//   GATED_REGISTERS     how many of them it has
#include "../backward.h"
#include "../forward.h"
#include "../kernels.h"
#include "../probe.h"

#define GATED_NAME_OF(target) #target
#define GATED_NAME(target) GATED_NAME_OF(target)

namespace gated::GATED_TARGET {
namespace {

template <template <class> class Run, class T, class Call>
void run(const Call& call, const Schedule& schedule, Team& team) {
    Run<T>(call, schedule, team).run();
}

std::unique_ptr<Step> prepare(const Forward<float>& call, int threads) {
    return std::make_unique<PreparedStep<float>>(call, threads);
}

}  // namespace

const Kernels kernels{
    GATED_NAME(GATED_TARGET),
    &run<ForwardRun, float>,
    &run<ForwardRun, double>,
    &run<BackwardRun, float>,
    &run<BackwardRun, double>,
    &prepare,
    &read_through,
    &probe,
};

}  // namespace gated::GATED_TARGET
