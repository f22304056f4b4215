// Counts what may wait or take unbounded time: memory asked for or given back, locks taken, threads
// started. To be loaded before all else, so that these functions go before those of the libraries;
// tests/core/real_time.py asks for the counts.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdlib>

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

extern "C" {
void watch(int whether) {
    if (whether) counted = 0;
    watching = whether;
}
int count_of_calls() { return counted; }
void allocate() {
    void* volatile kept = std::malloc(1);
    std::free(kept);
}
void lock() {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}
}
