// The kernels of one instruction set: included once by each file beside this one, which says
//
//   GATED_TARGET        its name, and the namespace
//   GATED_VECTOR_BYTES  the width of its vectors
//   GATED_REGISTERS     how many of them it has
#include "../backward.h"
#include "../cells/gru.h"
#include "../cells/lstm.h"
#include "../cells/lstm_coupled.h"
#include "../cells/rnn.h"
#include "../forward.h"
#include "../kernels.h"
#include "../probe.h"

#define GATED_NAME_OF(target) #target
#define GATED_NAME(target) GATED_NAME_OF(target)

namespace gated::GATED_TARGET {
namespace {

template <class Cell>
struct Of {
    using type = Cell;
};

// The table of cells: calls use(Of<the cell>{}).
template <class T, class Use>
auto with_cell(gated::Cell cell, const Use& use) {
    switch (cell) {
        case gated::Cell::rnn_tanh:
            return use(Of<RnnCell<T, Activation::tanh>>{});
        case gated::Cell::rnn_relu:
            return use(Of<RnnCell<T, Activation::relu>>{});
        case gated::Cell::gru:
            return use(Of<GruCell<T>>{});
        case gated::Cell::gru_reset_before:
            return use(Of<GruResetBeforeCell<T>>{});
        case gated::Cell::lstm_coupled:
            return use(Of<CoupledLstmCell<T>>{});
        case gated::Cell::lstm:
            break;
    }
    return use(Of<LstmCell<T>>{});
}

template <template <class> class Run, class T, class Call>
void run(const Call& call, const Schedule& schedule, Team& team) {
    with_cell<T>(call.cell, [&](auto of) {
        Run<typename decltype(of)::type>(call, schedule, team).run();
    });
}

std::unique_ptr<Step> prepare(const Forward<float>& call, int threads) {
    return with_cell<float>(call.cell, [&](auto of) -> std::unique_ptr<Step> {
        return std::make_unique<PreparedStep<typename decltype(of)::type>>(call, threads);
    });
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
