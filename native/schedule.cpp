#include "schedule.h"

#include <algorithm>
#include <numeric>

namespace gated {

Schedule::Schedule(std::ptrdiff_t steps, std::ptrdiff_t sequences, const std::int64_t* given)
    : order(sequences), lengths(sequences, steps), offsets(steps + 1) {
    std::iota(order.begin(), order.end(), std::ptrdiff_t{0});
    if (given) {
        std::stable_sort(order.begin(), order.end(),
                         [given](auto a, auto b) { return given[a] > given[b]; });
        for (std::ptrdiff_t rank = 0; rank < sequences; ++rank) lengths[rank] = given[order[rank]];
    }
    std::ptrdiff_t running = sequences;
    for (std::ptrdiff_t t = 0; t < steps; ++t) {
        while (running > 0 && lengths[running - 1] <= t) --running;
        offsets[t + 1] = offsets[t] + running;
    }
}

}  // namespace gated
