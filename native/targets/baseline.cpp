#define GATED_TARGET baseline
#include "target.h"
