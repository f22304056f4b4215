// Which sequences are at work at which step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gated {

// Sequences ranked by falling length, so that those still running at a step are the first ranks:
// padding is never touched, and the rows of a step lie side by side.
struct Schedule {
    std::vector<std::ptrdiff_t> order;    // (B) the sequence of each rank
    std::vector<std::ptrdiff_t> lengths;  // (B) the length of each rank, falling
    std::vector<std::ptrdiff_t> offsets;  // (T + 1) the first packed row of each step

    Schedule(std::ptrdiff_t steps, std::ptrdiff_t sequences, const std::int64_t* lengths);

    // The ranks below this one are running at step t.
    std::ptrdiff_t running(std::ptrdiff_t t) const { return offsets[t + 1] - offsets[t]; }
};

}  // namespace gated
