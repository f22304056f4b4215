#define GATED_TARGET avx2
#include "target.h"
