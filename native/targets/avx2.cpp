#define GATED_TARGET avx2
#define GATED_VECTOR_BYTES 32
#define GATED_REGISTERS 16
#include "target.h"
