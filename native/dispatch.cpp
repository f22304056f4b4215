// Chooses the kernels for the processor at hand, once, at the first call.
#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "compiled_digests.h"
#include "kernels.h"
#include "processor.h"
#include "rnn.h"

namespace gated {
namespace {

// Waking a thread and waiting for it costs about as much as this many multiplications and sums.
constexpr double worth_a_thread = 300'000;

// An instruction set: the kernels, and what these may use beyond what they were compiled for.
struct Choice {
    const char* name;
    const Kernels* kernels;
    Pairs pairs;
    Dots dots;
};

std::vector<Choice> find_choices() {
    std::vector<Choice> found;
    const auto add = [&](const Kernels& kernels) {
        found.push_back({kernels.name, &kernels, Pairs::portable, Dots::portable});
    };
    add(baseline::kernels);
    if (has_sdot())
        found.push_back({"dotprod", &baseline::kernels, Pairs::portable, Dots::bytes});
#ifdef GATED_HAS_AVX2
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef GATED_HAS_AVX512_ON_AVX2
    if (has_avx2) add(avx512_on_avx2::kernels);
#endif
    if (has_avx2) add(avx2::kernels);
    if (has_avx2 && has_avx_vnni())
        found.push_back({"avx_vnni", &avx2::kernels, Pairs::portable, Dots::halves});
#endif
#ifdef GATED_HAS_AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        add(avx512::kernels);
        if (has_avx512_vnni())
            found.push_back({"avx512_vnni", &avx512::kernels, Pairs::portable, Dots::halves});
        constexpr const char* names[] = {"", "avx512_bf16", "amx"};
        for (int pairs = 1; pairs <= int(pairs_available()); ++pairs)
            found.push_back({names[pairs], &avx512::kernels, Pairs(pairs), Dots::halves});
    }
#endif
    return found;
}

const std::vector<Choice>& choices() {
    static const std::vector<Choice> found = find_choices();
    return found;
}

const Choice& choice_named(const std::string& name) {
    std::string known;
    for (const Choice& candidate : choices()) {
        if (name == candidate.name) return candidate;
        known += known.empty() ? "" : ", ";
        known += candidate.name;
    }
    throw std::invalid_argument("the instruction set must be one that this processor has (" +
                                known + "), got '" + name + "'");
}

std::atomic<const Choice*>& chosen() {
    static std::atomic<const Choice*> choice = [] {
        const char* wanted = std::getenv("GATED_ISA");
        return wanted && *wanted ? &choice_named(wanted) : &choices().back();
    }();
    return choice;
}

}  // namespace

const Kernels& kernels() { return *chosen().load(std::memory_order_acquire)->kernels; }

Pairs pairs_in_use() { return chosen().load(std::memory_order_acquire)->pairs; }

namespace {
std::atomic<bool> thrice_everywhere{false};
}
void multiply_thrice_everywhere(bool everywhere) { thrice_everywhere = everywhere; }
bool multiplies_thrice() { return thrice_everywhere || pairs_in_use() == Pairs::amx; }

Dots dots_in_use() { return chosen().load(std::memory_order_acquire)->dots; }

namespace {

// The threads that are worth waking: for the whole call of so many rows, or, where fewer sequences
// than threads share each step and meet after it, for a step.
template <class Value>
int worth(const Layer<Value>& call, std::ptrdiff_t rows, int threads) {
    double weights = 0;
    for (const MatrixShape& of : call.cell->matrices)
        weights += double(of.blocks) * call.of(of.rows) * call.of(of.columns) / of.heads;
    const double multiplications = weights * (call.sequences < threads ? call.sequences : rows);
    return multiplications < worth_a_thread ? 1 : threads;
}

template <class Value>
void place(Forward<Value>& call, const std::ptrdiff_t* packed) {
    call.input.packed = call.output.packed = packed;
}
template <class Value>
void place(Backward<Value>& call, const std::ptrdiff_t* packed) {
    call.input.packed = call.output.packed = packed;
    call.grad_output.packed = call.grad_input.packed = packed;
}

// What a forward pass keeps is fresh memory at each call where malloc gives so much back to the system.
constexpr std::size_t never_reused = std::size_t{32} << 20;

template <class Value>
void expect_to_keep(const Forward<Value>& call, std::ptrdiff_t rows) {
    if (!call.kept.values) return;
    std::size_t width = 0;
    for (const Width of : call.cell->training.kept)
        width += of == Width::one ? kept_one : call.of(of);
    const std::size_t bytes = rows * width * (call.kept.is_narrow ? sizeof(Narrow) : sizeof(Value));
    if (bytes >= never_reused) put_in_large_pages(call.kept.values, bytes);
}
template <class Value>
void expect_to_keep(const Backward<Value>&, std::ptrdiff_t) {}

template <class Call>
void run(void (*kernel)(const Call&, const Schedule&, Team&), const Call& call, int threads) {
    const Schedule schedule(call.steps, call.sequences, call.lengths);
    expect_to_keep(call, schedule.offsets.back());
    Team team(worth(call, schedule.offsets.back(), threads));
    if (!call.packed) return kernel(call, schedule, team);
    Call placed = call;
    place(placed, schedule.offsets.data());
    kernel(placed, schedule, team);
}

}  // namespace

template <>
void forward(const Forward<float>& call, int threads) {
    run(kernels().forward32, call, threads);
}
template <>
void forward(const Forward<double>& call, int threads) {
    run(kernels().forward64, call, threads);
}
template <>
void backward(const Backward<float>& call, int threads) {
    run(kernels().backward32, call, threads);
}
template <>
void backward(const Backward<double>& call, int threads) {
    run(kernels().backward64, call, threads);
}

std::unique_ptr<Step> prepare_step(const Forward<float>& call, int threads) {
    return kernels().prepare_step(call, threads);
}

int threads_worth(const Forward<float>& call, int threads) {
    return worth(call, call.steps * call.sequences, threads);
}

void run(const std::vector<std::unique_ptr<Step>>& steps, int threads) {
    struct Work {
        const std::vector<std::unique_ptr<Step>>& steps;
        Team& team;

        void take(int part) const {
            for (const auto& step : steps) {
                if (&step != &steps.front()) team.barrier();  // one part's units are another's input
                step->run(team, part);
            }
        }
    };
    const auto take = [](Team& team, const auto& steps) {
        Work work{steps, team};
        team.run([](void* work, int part) { static_cast<Work*>(work)->take(part); }, &work);
    };
    if (threads > 1) {
        Team team(threads);
        take(team, steps);
    } else {
        Team alone;
        take(alone, steps);
    }
}

float read_through(const float* data, std::ptrdiff_t count, std::ptrdiff_t rounds) {
    return kernels().read_through(data, count, rounds);
}

double probe(std::ptrdiff_t rounds, int threads) {
    Team team(threads);
    return kernels().probe(rounds, team);
}

int compiled_segment(const std::string& digest) {
    for (std::size_t i = 0; i < std::size(compiled_digests); ++i)
        if (digest == compiled_digests[i]) return int(i);
    return -1;
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Choice& candidate : choices()) names.emplace_back(candidate.name);
    return names;
}

std::string instruction_set() { return chosen().load(std::memory_order_acquire)->name; }

void set_instruction_set(const std::string& name) {
    chosen().store(&choice_named(name), std::memory_order_release);
}

}  // namespace gated
