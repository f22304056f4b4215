// A small pool of threads, and the team that a call borrows from it.
#pragma once

#include <atomic>
#include <cstddef>

namespace gated {

class Pool;

// Up to `wanted` threads, the caller's among them, for as long as the team lives. A team is alone
// where another team has the pool: results never depend on a team's size.
class Team {
public:
    explicit Team(int wanted);
    Team() = default;  // alone, with memory of its own: it takes nothing that others wait for
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }

    // Calls work(context, part) for each part from 0 to size() - 1, side by side.
    void run(void (*work)(void*, int), void* context);

    // Waits until every part of the running work has come here.
    void barrier();

    // Memory for the length of the team's life, aligned to a cache line and not cleared. Borrowed
    // from the pool, since fresh pages cost more than the sequences they are needed for.
    void* scratch(std::size_t bytes);

private:
    Pool* pool_ = nullptr;  // null for a team of one, if it wants none or found it taken
    int size_ = 1;
    void* block_ = nullptr;
    std::size_t capacity_ = 0, used_ = 0;
    void* overflow_ = nullptr;  // chain of blocks that did not fit
    std::size_t wanted_bytes_ = 0;
    std::atomic<int> arrived_{0};
    std::atomic<unsigned> round_{0};
};

// Lets the system put an array in large pages, where it has them and the array is not there yet: to take
// a small page on the first write costs more than to fill it.
void put_in_large_pages(void* memory, std::size_t bytes);

}  // namespace gated
