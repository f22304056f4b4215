// The kernels of one instruction set: included once by each file beside this one, which says
//
//   GATED_TARGET        its name, and the namespace
//   GATED_VECTOR_BYTES  the width of its vectors
//   GATED_REGISTERS     how many of them it has
#include "../backward.h"
#include "../cells/gru.h"
#include "../cells/lstm.h"
#include "../cells/rnn.h"
#include "../forward.h"
#include "../kernels.h"
#include "../probe.h"

#define GATED_NAME_OF(target) #target
#define GATED_NAME(target) GATED_NAME_OF(target)

namespace gated::GATED_TARGET {

template <template <class> class Run, class T, class Call>
void run(const Call& call, const Schedule& schedule, Team& team) {
    switch (call.cell) {
        case gated::Cell::rnn_tanh:
            return Run<RnnCell<T, Activation::tanh>>(call, schedule, team).run();
        case gated::Cell::rnn_relu:
            return Run<RnnCell<T, Activation::relu>>(call, schedule, team).run();
        case gated::Cell::gru:
            return Run<GruCell<T>>(call, schedule, team).run();
        case gated::Cell::gru_reset_before:
            return Run<GruResetBeforeCell<T>>(call, schedule, team).run();
        case gated::Cell::lstm:
            return Run<LstmCell<T>>(call, schedule, team).run();
    }
}

const Kernels kernels{
    GATED_NAME(GATED_TARGET),
    &run<ForwardRun, float>,
    &run<ForwardRun, double>,
    &run<BackwardRun, float>,
    &run<BackwardRun, double>,
    &probe,
};

}  // namespace gated::GATED_TARGET
