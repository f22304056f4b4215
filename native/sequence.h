// How the work on sequences is shared out, for the way forward and the way back.
//
// A part of the team takes some of the sequences over all steps; or, where these are so few that to
// fetch the weights takes longer than to multiply, some of the units of all sequences, and so a part
// of the weights, and the team meets at each step. Steps that need whole rows between their products
// are never split by units.
#pragma once

#include "narrow.h"
#include "schedule.h"
#include "simd.h"
#include "threads.h"

namespace gated::GATED_TARGET {

// Bytes that stay near from one use to the next.
constexpr Index second_cache = Index{512} << 10;

struct Share {
    const Schedule& schedule;
    Team& team;
    const bool splits_units;
    const bool leads;                     // no other part has the same sequences and speaks for them
    const Index first, every;             // every so-manieth rank: so all have work at each step
    const Index first_panel, last_panel;  // of the units

    template <class T>
    Share(const Layer<T>& layer, const Schedule& schedule, Team& team, int part, Index panels,
          bool whole_rows)
        : schedule(schedule), team(team),
          splits_units(!whole_rows && layer.sequences < enough_sequences(layer, team.size())),
          leads(!splits_units || part == 0), first(splits_units ? 0 : part),
          every(splits_units ? 1 : team.size()),
          first_panel(splits_units ? panels * part / team.size() : 0),
          last_panel(splits_units ? panels * (part + 1) / team.size() : panels) {}

    // So many that each part has some. Where weights are fetched from beyond the second cache, so many
    // that each part multiplies for as long as they take; but a single step fetches and packs them for
    // itself, whatever there is to multiply.
    template <class T>
    static Index enough_sequences(const Layer<T>& layer, int parts) {
        Index weights = 0;
        for (const MatrixShape& of : layer.cell->matrices)
            weights += of.blocks * layer.of(of.rows) * layer.of(of.columns) / of.heads;
        if (parts == 1 || weights * Index(sizeof(T)) <= second_cache) return parts;
        return layer.steps > 1 ? 8 * parts : layer.sequences + 1;
    }

    Index rank(Index r) const { return first + r * every; }
    // How many of the first `ranks` ranks are this part's.
    Index of(Index ranks) const { return ranks <= first ? 0 : (ranks - first - 1) / every + 1; }
    Index ranks() const { return of(Index(schedule.order.size())); }
    Index running(Index step) const { return of(schedule.running(step)); }
};

// The time that a rank is at in a step: a reversed sequence begins at its own end.
template <class T>
Index time_of(const Layer<T>& layer, const Schedule& schedule, Index rank, Index step) {
    return layer.reverse ? schedule.lengths[rank] - 1 - step : step;
}

// A state before a rank's step, as the layer was given it or as a forward pass has left it in
// `output` and `kept`; widened into `wide` where it is narrow there. `zeros` is a state that was not
// given.
template <class T, class U>
const T* state_before(const Layer<T>& layer, const Schedule& schedule, const Rows<U>& output,
                      const Kept<U>& kept, const T* zeros, int state, Index rank, Index step,
                      T* wide) {
    const Index b = schedule.order[rank], width = layer.of(layer.cell->states[state]);
    if (step == 0) return layer.initial[state] ? layer.initial[state] + b * width : zeros;
    const Index earlier = time_of(layer, schedule, rank, step - 1);
    if (state == 0 && layer.cell->output_is_hidden) return read(output, earlier, b, width, wide);
    if (kept.history.empty() || !kept.history[state]) return nullptr;
    const Index place = (schedule.offsets[earlier] + rank) * width;
    if (!kept.is_narrow) return kept.history[state] + place;
    widen_row(narrow_in(kept.history[state]) + place, width, wide);
    return wide;
}

// The widest of what a layer computes with.
template <class T>
Index widest(const Layer<T>& layer) {
    Index most = layer.units;
    if (layer.outputs > most) most = layer.outputs;
    return layer.inputs > most ? layer.inputs : most;
}

}  // namespace gated::GATED_TARGET
