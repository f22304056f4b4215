// The kernels of one instruction set: included once by each file beside this one.
#include "../kernels.h"

#define GATED_NAME_OF(target) #target
#define GATED_NAME(target) GATED_NAME_OF(target)

namespace gated::GATED_TARGET {

const Kernels kernels{GATED_NAME(GATED_TARGET)};

}  // namespace gated::GATED_TARGET
