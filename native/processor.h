// What a processor may have beyond the instruction set that kernels are compiled for.
#pragma once

namespace gated {

// Who multiplies pairs of bfloat16, see pairs.h: each needs the ones before it.
enum class Pairs { portable, avx512_bf16, amx };

// The best that the processor and the operating system allow this process.
Pairs pairs_available();

// Those of the instruction set in use.
Pairs pairs_in_use();

}  // namespace gated
