#define GATED_TARGET avx512
#include "target.h"
