// What a processor may have beyond the instruction set that kernels are compiled for.
#pragma once

namespace gated {

// Who multiplies pairs of bfloat16, see pairs.h: each needs the ones before it.
enum class Pairs { portable, avx512_bf16, amx };

// The best that the processor and the operating system allow this process.
Pairs pairs_available();

// Those of the instruction set in use.
Pairs pairs_in_use();

// Whether three products of bfloat16 stand for one of float32 where that is asked for.
bool multiplies_thrice();

// Who multiplies whole numbers and adds them up, see int8.h: the kernels' own instructions, vpdpwssd (of
// AVX-VNNI, or as AVX-512 has it), or sdot (of Arm).
enum class Dots { portable, halves, bytes };

bool has_avx_vnni();     // 256 bits
bool has_avx512_vnni();  // 512 bits
bool has_sdot();

// Those of the instruction set in use.
Dots dots_in_use();

}  // namespace gated
