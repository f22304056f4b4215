#define GATED_TARGET baseline
#define GATED_VECTOR_BYTES 16
#ifdef __aarch64__
#define GATED_REGISTERS 32
#else
#define GATED_REGISTERS 16
#endif
#include "target.h"
