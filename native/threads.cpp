#include "threads.h"

#ifdef _WIN32
#define NOMINMAX
#include <malloc.h>
#include <windows.h>
#else
#include <time.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "profile.h"
#include "rnn.h"

namespace gated {
namespace {

constexpr std::size_t cache_line = 64;
// Bytes of scratch between calls; none under the sanitizer, which then sees the end of each array.
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t keep_at_most = 0;
#else
constexpr std::size_t keep_at_most = std::size_t{64} << 20;
#endif
constexpr std::size_t large_page = std::size_t{2} << 20;
constexpr int spins = 2000;  // some tens of microseconds: longer than a step's imbalance

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

double seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

// What the processor has spent on this thread.
double seconds_of_thread() {
#ifdef _WIN32
    FILETIME began, ended, kernel, user;
    if (!GetThreadTimes(GetCurrentThread(), &began, &ended, &kernel, &user)) return seconds();
    const auto ticks = [](FILETIME of) {
        return double(of.dwHighDateTime) * 4294967296.0 + double(of.dwLowDateTime);
    };
    return 1e-7 * (ticks(kernel) + ticks(user));
#else
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
#endif
}

// Spins briefly, then lets other programs have the core between two looks: a pure spin costs
// milliseconds as soon as there are more busy threads than cores.
template <class Condition>
void wait_until(Condition condition) {
    for (int i = 0; i < spins; ++i) {
        if (condition()) return;
        pause();
    }
    while (!condition()) std::this_thread::yield();
}

// The OpenMP runtime of a library that the process has loaded. Its threads spin for milliseconds after
// each of their regions: workers of our own would have to fight them for the cores.
struct OpenMP {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned);
    int (*thread_number)();
    int (*team_size)();
    int (*in_parallel)();
};

// Null where workers of our own do the work.
std::atomic<const OpenMP*> the_openmp{nullptr};

// Calls work(context, part) on each of `size` OpenMP threads; false, with nothing done, where the
// runtime gives fewer.
bool run_on(const OpenMP& openmp, int size, void (*work)(void*, int), void* context) {
    struct Region {
        const OpenMP& openmp;
        int size;
        void (*work)(void*, int);
        void* context;
        std::atomic<bool> short_of_threads{false};
    } region{openmp, size, work, context};
    openmp.parallel(
        [](void* data) {
            Region& region = *static_cast<Region*>(data);
            if (region.openmp.team_size() == region.size)
                region.work(region.context, region.openmp.thread_number());
            else
                region.short_of_threads.store(true, std::memory_order_relaxed);
        },
        &region, unsigned(size), 0);
    return !region.short_of_threads.load(std::memory_order_relaxed);
}

}  // namespace

// Workers that sleep until they are handed work. Every worker has a ticket of its own, so that
// one that is not asked never looks at the work of the others.
class Pool {
public:
    std::mutex taken;
    void* block = nullptr;  // scratch memory kept between calls
    std::size_t capacity = 0;

    void (*work)(void*, int) = nullptr;
    void* context = nullptr;
    std::atomic<int> unfinished{0};
    std::atomic<int> interrupted{0};  // parts of the last work that other programs kept from it

    // How many threads to use where `wanted` are. Where other programs have taken some of the cores,
    // a thread that waits for one of them holds up all: for some calls there are fewer, then all are
    // tried once more.
    int worth(int wanted) {
        if (calls_with_fewer_ == 0) return wanted;
        --calls_with_fewer_;
        return std::min(wanted, fewer_);
    }

    // Says how many of the last team's `size` threads other programs have kept from their work. A few
    // times say nothing: a thread that slept may wake on a core that is taken, and moves on.
    void learn(int size, int interrupted) {
        constexpr int habit = 4;
        if (interrupted == 0) {
            in_a_row_ = patience_ = 0;
        } else if (++in_a_row_ == habit) {
            in_a_row_ = 0;
            fewer_ = std::max(1, size - interrupted);
            patience_ = std::clamp(2 * patience_, 4 * habit, 8 * habit);
            calls_with_fewer_ = patience_;
        }
    }

    // Does a part of the work, and notes whether others had its core for a good part of the time: from
    // half on, one thread fewer would be done sooner, and equal shares come to about half.
    void take_part(int part) {
        const double started = seconds(), had = seconds_of_thread();
        work(context, part);
        const double taken = seconds() - started;
        const double lost = taken - (seconds_of_thread() - had);
        if (lost > 0.35 * taken + 50e-6) interrupted.fetch_add(1, std::memory_order_relaxed);
    }

    // Tries to have `count` workers; returns how many there are.
    int grow(int count) {
        while (static_cast<int>(workers_.size()) < count) {
            Worker& worker = workers_.emplace_back();
            const int part = static_cast<int>(workers_.size());
            try {
                std::thread([this, &worker, part] { serve(worker, part); }).detach();
            } catch (const std::system_error&) {  // the system has no thread left to give
                workers_.pop_back();
                break;
            }
        }
        return std::min<int>(count, static_cast<int>(workers_.size()));
    }

    // Calls work(context, part) for each part, and waits until all are done.
    void run(int size) {
        if (const OpenMP* openmp = the_openmp.load(std::memory_order_acquire)) {
            const auto take = [](void* self, int part) { static_cast<Pool*>(self)->take_part(part); };
            if (run_on(*openmp, size, take, this)) return;
            the_openmp.store(nullptr);  // it keeps to a limit of its own
        }
        if (grow(size - 1) < size - 1)  // too late for fewer
            throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                    "no thread could be started");
        hand_out(size - 1);
        take_part(0);
        wait_until([this] { return unfinished.load(std::memory_order_acquire) == 0; });
    }

private:
    struct alignas(cache_line) Worker {
        std::atomic<unsigned> ticket{0};
    };
    std::deque<Worker> workers_;  // a deque, so that growing moves none
    int fewer_ = 1, calls_with_fewer_ = 0, patience_ = 0, in_a_row_ = 0;

    void hand_out(int count) {
        unfinished.store(count, std::memory_order_relaxed);
        for (int i = 0; i < count; ++i) {
            workers_[i].ticket.fetch_add(1, std::memory_order_release);
            workers_[i].ticket.notify_one();
        }
    }

    void serve(Worker& worker, int part) {
        for (unsigned seen = 0;; ++seen) {
            for (int i = 0; i < spins && worker.ticket.load(std::memory_order_relaxed) == seen; ++i)
                pause();
            worker.ticket.wait(seen, std::memory_order_acquire);
            take_part(part);
            unfinished.fetch_sub(1, std::memory_order_release);
        }
    }
};

namespace {

std::atomic<Pool*> the_pool{nullptr};

// After a fork the child has none of the workers, nor of OpenMP's: it builds a pool of its own.
Pool& pool() {
#ifndef _WIN32
    static const int registered =
        pthread_atfork(nullptr, nullptr, [] {
            the_pool.store(nullptr);
            the_openmp.store(nullptr);
        });
    static_cast<void>(registered);
#endif
    Pool* found = the_pool.load(std::memory_order_acquire);
    if (found) return *found;
    auto fresh = std::make_unique<Pool>();
    if (the_pool.compare_exchange_strong(found, fresh.get())) return *fresh.release();
    return *found;
}

// Large blocks lie in large pages where the system has them: weights are read through at each step,
// and their pages are more than a processor remembers.
void* allocate(std::size_t bytes) {
    const std::size_t page = bytes < 2 * large_page ? cache_line : large_page;
    const std::size_t rounded = (bytes + page - 1) / page * page;
#ifdef _WIN32
    void* memory = _aligned_malloc(rounded, page);
#else
    void* memory = std::aligned_alloc(page, rounded);
#endif
    if (!memory) throw std::bad_alloc();
    if (page == large_page) put_in_large_pages(memory, rounded);
    return memory;
}

void release(void* memory) {
#ifdef _WIN32
    _aligned_free(memory);
#else
    std::free(memory);
#endif
}

}  // namespace

Team::Team(int wanted) : pool_(&pool()), size_(1) {
    if (!pool_->taken.try_lock()) {
        pool_ = nullptr;
        return;
    }
    size_ = pool_->worth(std::max(wanted, 1));
    if (const OpenMP* openmp = the_openmp.load(std::memory_order_acquire)) {
        if (openmp->in_parallel()) size_ = 1;  // its threads are at work
    } else {
        size_ = 1 + pool_->grow(size_ - 1);
    }
    block_ = pool_->block;
    capacity_ = pool_->capacity;
}

Team::~Team() {
    while (overflow_) {
        void* next = *static_cast<void**>(overflow_);
        release(overflow_);
        overflow_ = next;
    }
    if (!pool_) return;
    if (wanted_bytes_ > capacity_ && wanted_bytes_ <= keep_at_most) {
        release(pool_->block);
        pool_->block = nullptr;
        pool_->capacity = 0;
        try {
            pool_->block = allocate(wanted_bytes_);
            pool_->capacity = wanted_bytes_;
        } catch (const std::bad_alloc&) {  // the next call asks for itself
        }
    }
    pool_->taken.unlock();
}

void Team::run(void (*work)(void*, int), void* context) {
    if (size_ == 1) return work(context, 0);
    pool_->work = work;
    pool_->context = context;
    pool_->interrupted.store(0, std::memory_order_relaxed);
    pool_->run(size_);
    pool_->learn(size_, pool_->interrupted.load(std::memory_order_relaxed));
}

void Team::barrier() {
    if (size_ == 1) return;
    GATED_TIMED(waiting);
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        return;
    }
    wait_until([&] { return round_.load(std::memory_order_acquire) != round; });
}

void put_in_large_pages(void* memory, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
    const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + large_page - 1) & ~(large_page - 1);
    const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) & ~(large_page - 1);
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

void* Team::scratch(std::size_t bytes) {
    bytes = (bytes + cache_line - 1) / cache_line * cache_line;
    wanted_bytes_ += bytes;
    if (used_ + bytes <= capacity_) {
        void* memory = static_cast<char*>(block_) + used_;
        used_ += bytes;
        return memory;
    }
    char* memory = static_cast<char*>(allocate(bytes + cache_line));
    *reinterpret_cast<void**>(memory) = overflow_;
    overflow_ = memory;
    return memory + cache_line;
}

namespace {

// The processors that a control group's quota amounts to, or infinity.
double quota_of_container() {
    double processors = HUGE_VAL;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        const auto limit = [&](double quota, double period) {
            if (quota > 0 && period > 0) processors = std::min(processors, quota / period);
        };
        // A container sees its own group either under its path or, in a namespace, at the root.
        if (controllers.empty()) {
            for (const std::string& group : {path, std::string()}) {
                std::string quota;
                double period = 0;
                if (std::ifstream("/sys/fs/cgroup" + group + "/cpu.max") >> quota >> period)
                    limit(std::strtod(quota.c_str(), nullptr), period);
            }
        } else if ((',' + controllers + ',').find(",cpu,") != std::string::npos) {
            for (const std::string& group : {path, std::string()}) {
                double quota = 0, period = 0;
                const std::string folder = "/sys/fs/cgroup/cpu" + group;
                if (std::ifstream(folder + "/cpu.cfs_quota_us") >> quota &&
                    std::ifstream(folder + "/cpu.cfs_period_us") >> period)
                    limit(quota, period);
            }
        }
    }
    return processors;
}

}  // namespace

bool share_threads(const std::string& library) {
#ifdef _WIN32
    static_cast<void>(library);
    return false;
#else
    void* loaded = dlopen(library.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (!loaded) return false;
    // Looks through what the library is linked with, too.
    const auto find = [&](auto& function, const char* name) {
        function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(loaded, name));
        return function != nullptr;
    };
    static OpenMP openmp;
    OpenMP found{};
    if (!find(found.parallel, "GOMP_parallel") || !find(found.thread_number, "omp_get_thread_num") ||
        !find(found.team_size, "omp_get_num_threads") || !find(found.in_parallel, "omp_in_parallel"))
        return false;
    pool();  // which a fork's child is then known to have none of
    openmp = found;
    the_openmp.store(&openmp, std::memory_order_release);
    return true;
#endif
}

int available_threads() {
    int processors = 0;
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) processors = CPU_COUNT(&allowed);
#endif
    if (processors == 0) processors = static_cast<int>(std::thread::hardware_concurrency());
    static const double quota = std::ceil(quota_of_container());
    if (quota < processors) processors = static_cast<int>(quota);
    return std::max(processors, 1);
}

}  // namespace gated
