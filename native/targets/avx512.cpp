#define GATED_TARGET avx512
#define GATED_VECTOR_BYTES 64
#define GATED_REGISTERS 32
#include "target.h"
