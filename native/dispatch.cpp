// Chooses the kernels for the processor at hand, once, at the first call.
#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernels.h"
#include "rnn.h"

namespace gated {
namespace {

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found{&baseline::kernels};
#ifdef GATED_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found.push_back(&avx2::kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        found.push_back(&avx512::kernels);
#endif
    return found;
}

const Kernels& kernels_named(const std::string& name) {
    std::string known;
    for (const Kernels* candidate : available_kernels()) {
        if (name == candidate->name) return *candidate;
        known += known.empty() ? "" : ", ";
        known += candidate->name;
    }
    throw std::invalid_argument("the instruction set must be one that this processor has (" +
                                known + "), got '" + name + "'");
}

std::atomic<const Kernels*>& chosen() {
    static std::atomic<const Kernels*> choice = [] {
        const char* wanted = std::getenv("GATED_ISA");
        return wanted && *wanted ? &kernels_named(wanted) : available_kernels().back();
    }();
    return choice;
}

}  // namespace

const Kernels& kernels() { return *chosen().load(std::memory_order_acquire); }

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* candidate : available_kernels()) names.emplace_back(candidate->name);
    return names;
}

std::string instruction_set() { return kernels().name; }

void set_instruction_set(const std::string& name) {
    chosen().store(&kernels_named(name), std::memory_order_release);
}

}  // namespace gated
