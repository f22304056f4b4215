// The kernels of one instruction set: included once by each file beside this one, which says
//
//   GATED_TARGET        its name, and the namespace
//   GATED_VECTOR_BYTES  the width of its vectors
//   GATED_REGISTERS     how many of them it has
#include "../cells/gru.h"
#include "../cells/lstm.h"
#include "../cells/rnn.h"
#include "../kernels.h"
#include "../sequence.h"

#define GATED_NAME_OF(target) #target
#define GATED_NAME(target) GATED_NAME_OF(target)

namespace gated::GATED_TARGET {

template <class T>
void forward_cell(const Forward<T>& call, const Schedule& schedule, Team& team) {
    switch (call.cell) {
        case gated::Cell::rnn_tanh:
            return ForwardRun<RnnCell<T, Activation::tanh>>(call, schedule, team).run();
        case gated::Cell::rnn_relu:
            return ForwardRun<RnnCell<T, Activation::relu>>(call, schedule, team).run();
        case gated::Cell::gru:
            return ForwardRun<GruCell<T>>(call, schedule, team).run();
        case gated::Cell::lstm:
            return ForwardRun<LstmCell<T>>(call, schedule, team).run();
    }
}

const Kernels kernels{GATED_NAME(GATED_TARGET), &forward_cell<float>, &forward_cell<double>};

}  // namespace gated::GATED_TARGET
