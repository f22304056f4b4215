// Counts what may wait or take unbounded time while a stream takes steps: memory asked for or given
// back, locks taken, threads started. Prints what it counted, one line a cell and variant; a first
// argument names something to do among the steps, which must then be counted.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "rnn.h"

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

bool watching = false;
int counted = 0;

void count() { counted += watching; }

template <class Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// An executable's own functions go before those of the libraries, also for the libraries' own calls.
extern "C" {

void* malloc(std::size_t bytes) {
    count();
    return __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
    count();
    return __libc_calloc(items, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
    count();
    return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
    count();
    return __libc_memalign(alignment, bytes);
}
void free(void* memory) {
    count();
    __libc_free(memory);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
    count();
    static const auto lock = real<int(pthread_mutex_t*)>("pthread_mutex_lock");
    return lock(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) {
    count();
    static const auto lock = real<int(pthread_mutex_t*)>("pthread_mutex_trylock");
    return lock(mutex);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*),
                   void* argument) {
    count();
    static const auto create =
        real<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
    return create(thread, attributes, work, argument);
}
}

namespace {

constexpr int inputs = 5, units = 19;

struct Variant {
    const char* name;
    bool projects = false, normalises = false;
    gated::Zoneout zoneout{};
};

// The matrices and vectors of a layer, all of them the same numbers: only what happens counts here.
int steps_of(gated::Cell cell, const Variant& variant, const char* disturbance) {
    static const std::vector<float> numbers(4 * units * units, 0.1f);
    static float hidden[units], memory[units], output[units], input[inputs];
    const float* some = numbers.data();
    gated::Forward<float> call;
    call.cell = cell;
    call.steps = call.sequences = 1;
    call.inputs = inputs;
    call.units = units;
    call.outputs = variant.projects ? 7 : units;
    call.weights = {some, some, some, some};
    if (variant.projects) call.weights.projection = some;
    if (variant.normalises) {
        call.weights.input_gain = call.weights.hidden_gain = some;
        call.weights.cell_gain = call.weights.cell_bias = some;
    }
    call.zoneout = variant.zoneout;
    call.input = {input, 0, 0};
    call.output = {output, 0, 0};
    call.initial_hidden = call.final_hidden = hidden;
    call.initial_cell = call.final_cell = memory;
    std::vector<std::unique_ptr<gated::Step>> steps;
    steps.push_back(gated::prepare_step(call, 1));
    counted = 0;
    watching = true;
    for (int i = 0; i < 3; ++i) gated::run(steps, 1);
    if (std::strcmp(disturbance, "allocate") == 0) {
        void* volatile kept = std::malloc(1);
        std::free(kept);
    } else if (std::strcmp(disturbance, "lock") == 0) {
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
    watching = false;
    return counted;
}

}  // namespace

int main(int arguments, char** argument) {
    const char* disturbance = arguments > 1 ? argument[1] : "";
    using gated::Cell;
    const Variant plain{"plain"}, zoneout{"zoneout", false, false, {0.1, 0.2}};
    const Variant projected{"projection", true}, normalised{"layer norm", false, true};
    for (int cell = 0; cell <= int(Cell::lstm_coupled); ++cell)
        for (const Variant& variant : {plain, zoneout, projected, normalised}) {
            if (variant.projects && Cell(cell) != Cell::lstm) continue;
            if (variant.normalises && Cell(cell) == Cell::gru_reset_before) continue;
            std::printf("cell %d, %s: %d\n", cell, variant.name,
                        steps_of(Cell(cell), variant, disturbance));
        }
}
