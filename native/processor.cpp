#include "processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace gated {
namespace {

#if defined(__x86_64__)
// The register states that the operating system keeps for each thread.
unsigned states_kept() {
    unsigned a, b, c, d;
    constexpr unsigned says_states = 1u << 27;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & says_states)) return 0;
    asm("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

// Linux keeps the eight kilobytes of tiles only for a process that asked.
bool may_use_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
    constexpr int request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

constexpr unsigned vectors_of_256 = 0x6, vectors_of_512 = 0xe6;

bool keeps(unsigned states) { return (states_kept() & states) == states; }

Pairs find() {
    constexpr unsigned tiles = 3u << 17;
    constexpr unsigned avx512_bf16 = 1u << 5;
    constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
    unsigned a, b, c, d, more;
    if (!has_avx512_vnni() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1)
        return Pairs::portable;
    const bool has_tiles = (d & amx_bf16) && (d & amx_tile) && keeps(tiles);
    if (!__get_cpuid_count(7, 1, &more, &b, &c, &d) || !(more & avx512_bf16))
        return Pairs::portable;
    return has_tiles && may_use_tiles() ? Pairs::amx : Pairs::avx512_bf16;
}
#else
Pairs find() { return Pairs::portable; }
#endif

}  // namespace

bool has_avx_vnni() {
#if defined(__x86_64__)
    constexpr unsigned avx2 = 1u << 5, avx_vnni = 1u << 4;
    unsigned a, b, c, d;
    return keeps(vectors_of_256) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 && (b & avx2) &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx_vnni);
#else
    return false;
#endif
}

bool has_avx512_vnni() {
#if defined(__x86_64__)
    constexpr unsigned avx512f = 1u << 16, avx512_vnni = 1u << 11;
    unsigned a, b, c, d;
    return keeps(vectors_of_512) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & avx512f) &&
           (c & avx512_vnni);
#else
    return false;
#endif
}

bool has_sdot() {
#if defined(__aarch64__) && defined(__linux__)
    constexpr unsigned long dotprod = 1ul << 20;
    return getauxval(AT_HWCAP) & dotprod;
#else
    return false;
#endif
}

Pairs pairs_available() {
    static const Pairs found = find();
    return found;
}

}  // namespace gated
