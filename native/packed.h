// The weights of a product of a plan, packed in panels, and the product itself.
#pragma once

#include "int8.h"
#include "pairs.h"
#include "rnn.h"
#include "sequence.h"

namespace gated::GATED_TARGET {

// How the products of a layer in a format are of pairs.
inline Pairing pairing_of(Format format) {
    const bool thrice = format == Format::bfloat16x3 && multiplies_thrice();
    const Pairs by = pairs_in_use();
    if (thrice || (format == Format::bfloat16 && by != Pairs::portable)) return {true, thrice, by};
    return {};
}
// The words of a row of pairs: lines of the caches.
constexpr Index lines_of_pairs(Index depth) { return (words_for<BFloat16>(depth) + 15) / 16 * 16; }

// Blocks of a matrix by vectors: the sums of a panel of units lie in the slots of the blocks, and
// are there, for all blocks, before the next panel begins.
template <class T>
class PackedProduct {
public:
    // Of one head of the matrix's, for so many `rows`, so many `times`.
    PackedProduct(const Layer<T>& layer, const Product& product, int head, Index rows, Index times)
        : product_(&product), matrix_(layer.matrices[product.matrix].weight),
          blocks_(Index(product.blocks.size())), shape_(layer.cell->matrices[product.matrix]),
          height_(layer.of(shape_.rows)), cut_(height_ / shape_.heads),
          depth_(layer.of(shape_.columns) / shape_.heads), first_(head * cut_.units),
          from_(head * depth_), rows_(rows), times_(times),
          is_rounded_(layer.format == Format::bfloat16),
          pairing_(pairing_of(layer.format)), dots_(dots_in_use()), format_(format_for(layer, rows)) {}

    // Of the memory that packed weights take.
    Index bytes() const {
        return with_stored([this](auto stored) {
            using Stored = decltype(stored);
            const Index units = blocks_ * cut_.padded();
            return units * words_for<Stored>(depth_) * Index(sizeof(typename Stored::Word)) +
                   (Stored::is_scaled ? units * Index(sizeof(T)) : 0);
        });
    }
    void lies_at(void* memory) { weights_ = memory; }
    const Cut<T>& cut() const { return cut_; }
    int source() const { return product_->source; }
    Index from() const { return from_; }  // the first of the source's units

    // Whether packing all weights pays. To turn squares of them around for a few rows takes about as long
    // as to fetch them, packed or not, from beyond the second cache; for more rows a part at a time is
    // packed, and is in the first.
    bool is_worth_packing() const {
        if (is_rounded_ || format_ != Format::as_given) return true;
        if (rows_ > few_rows) return times_ > 1;
        const Index uses = times_ * ((rows_ + rows_unpacked - 1) / rows_unpacked);
        return uses > (bytes() > second_cache ? 4 : 1);
    }

    void pack(int part, int parts) const {
        if (!weights_) return;
        with_stored([&](auto stored) {
            for (Index p = cut_.count * part / parts; p < cut_.count * (part + 1) / parts; ++p)
                for (Index b = 0; b < blocks_; ++b) pack_panel_of<decltype(stored)>(p, b);
        });
    }

    // The vectors that all panels are multiplied by, for formats that take them rounded: rows of
    // so many words. None where they are taken as they are.
    Index rounded() const {
        if (pairing_.is_used) return pairing_.rows() * lines_of_pairs(depth_);
        return format_ == Format::int8 ? rounded_words(depth_) : 0;
    }
    void round(Index rows, const T* const* vectors, std::int32_t* words) const {
        if constexpr (std::is_same_v<T, float>)
            for (Index r = 0; rounded() && r < rows; ++r) {
                if (pairing_.is_used)
                    round_pairing(pairing_, vectors[r], depth_, lines_of_pairs(depth_),
                                  words + r * rounded());
                else
                    round_row(dots_, vectors[r], depth_, words + r * rounded());
            }
    }

    // Adds panel p of the products with `rows` vectors, or with those that were rounded to `words`,
    // to the slots, which lie at `offsets` in rows of `stride`. Weights that no memory was given for
    // are read where they are.
    void add(Index p, Index rows, const T* const* vectors, const std::int32_t* words, Tiles& tiles,
             const Index* offsets, T* sums, Index stride) const {
        const auto to = [&](Index b) {
            return sums + offsets[product_->targets[b]] + first_ + cut_.first(p);
        };
        if (!weights_) return add_unpacked(p, rows, vectors, to, stride);
        with_stored([&](auto stored) {
            using Stored = decltype(stored);
            if constexpr (Stored::is_scaled)
                add_int8<Stored>(p, rows, words, to, stride);
            else if (pairing_.is_used)
                add_pairs<Stored>(p, rows, words, tiles, to, stride);
            else if constexpr (!std::is_same_v<Stored, BFloat16WithRest>) {
                if (rows == 1)
                    add_one<Stored>(p, vectors[0], to);
                else
                    add_rows<Stored>(p, rows, vectors, to, stride);
            }
        });
    }

private:
    static constexpr Index few_rows = 2 * rows_unpacked;
    const Product* product_;
    const T* matrix_;
    const Index blocks_;
    const MatrixShape& shape_;
    const Index height_;  // of a block
    const Cut<T> cut_;    // of the head's units
    const Index depth_, first_, from_;
    const Index rows_, times_;
    const bool is_rounded_;  // weights are, to bfloat16
    const Pairing pairing_;  // and the vectors, where pairs are multiplied
    const Dots dots_;        // who multiplies whole numbers
    const Format format_;
    void* weights_ = nullptr;  // panels, and behind them the scales of all units

    Format format_for(const Layer<T>& layer, Index rows) const {
        if (pairing_.is_used || layer.format == Format::int8) return layer.format;
        // Widened, weights in bfloat16 have the very same bits: for many rows that is done once.
        return is_rounded_ && rows <= few_rows ? Format::bfloat16 : Format::as_given;
    }

    template <class Of>
    GATED_INLINE auto with_stored(const Of& of) const {
        if constexpr (std::is_same_v<T, float>) {
            if (format_ == Format::bfloat16) return of(BFloat16());
            if (format_ == Format::bfloat16x3) return of(BFloat16WithRest());
            if (format_ == Format::int8) return of(Int8());
        }
        return of(AsGiven<T>());
    }

    const T* rows_of(Index p, Index b) const {
        return matrix_ + (product_->blocks[b] * height_ + first_ + cut_.first(p)) * depth_;
    }
    Index real(Index p) const { return cut_.units - cut_.first(p); }
    // A panel's first unit among those of all blocks.
    Index unit(Index p, Index b) const {
        return cut_.first(p) * blocks_ + b * cut_.vectors_of(p) * lanes<T>;
    }
    template <class Stored>
    auto* panel(Index p, Index b) const {
        return static_cast<typename Stored::Word*>(weights_) + unit(p, b) * words_for<Stored>(depth_);
    }
    template <class Stored>
    T* scales(Index p, Index b) const {
        return reinterpret_cast<T*>(panel<Stored>(cut_.count, 0)) + unit(p, b);
    }

    template <class Stored>
    void pack_panel_of(Index p, Index b) const {
        if constexpr (Stored::weights_in_word == 1) {
            pack_panel<T>(rows_of(p, b), real(p), cut_.vectors_of(p), depth_, depth_,
                          panel<Stored>(p, b));
            if constexpr (std::is_same_v<T, float>)
                if (is_rounded_)
                    BFloat16::round(panel<Stored>(p, b), cut_.vectors_of(p) * lanes<T> * depth_);
        }
        else if constexpr (Stored::is_scaled)
            pack_int8(rows_of(p, b), real(p), cut_.vectors_of(p), depth_, scales<Stored>(p, b),
                      panel<Stored>(p, b));
        else {
            const int vectors = cut_.vectors_of(p);
            std::int32_t* to = panel<Stored>(p, b);
            pack_narrow<BFloat16>(rows_of(p, b), real(p), vectors, depth_, to);
            if (std::is_same_v<Stored, BFloat16WithRest>)
                pack_narrow<BFloat16Rest>(rows_of(p, b), real(p), vectors, depth_, to + rests(p));
        }
    }
    // How far the rests of a panel lie behind it.
    Index rests(Index p) const { return words_for<BFloat16>(depth_) * cut_.vectors_of(p) * lanes<T>; }

    template <class To>
    void add_unpacked(Index p, Index rows, const T* const* vectors, const To& to,
                      Index stride) const {
        const int width = cut_.vectors_of(p);
        for (Index b = 0; b < blocks_; ++b) {
            const T* from = rows_of(p, b);
            if (rows <= few_rows)
                multiply_panel_unpacked<T>(width, rows, depth_, vectors, from, real(p), to(b), stride);
            else
                multiply_in_parts<T>(
                    width, rows, depth_, AlongRows<T>{vectors, 0},
                    [&](Index k, Index depth, T* part) {
                        pack_panel<T>(from + k, real(p), width, depth_, depth, part);
                    },
                    to(b), stride);
        }
    }

    template <class Stored, class To>
    void add_one(Index p, const T* vector, const To& to) const {
        for (Index b = 0; b < blocks_;) {
            const typename Stored::Word* panels[most_panels];
            T* at[most_panels];
            int count = 0;
            for (; count < most_panels && b + count < blocks_; ++count) {
                T* next = to(b + count);
                bool again = false;  // sums that another block at hand adds to
                for (int i = 0; i < count; ++i) again |= at[i] == next;
                if (again) break;
                panels[count] = panel<Stored>(p, b + count);
                at[count] = next;
            }
            b += multiply_one_panels<Stored, T>(cut_.vectors_of(p), count, depth_, vector, panels, at);
        }
    }

    // One row takes the panels of two blocks at a time, where they add to different sums.
    template <class Stored, class To>
    void add_int8(Index p, Index rows, const std::int32_t* words, const To& to, Index stride) const {
        const int vectors = cut_.vectors_of(p);
        for (Index b = 0; b < blocks_;) {
            const bool two = rows == 1 && vectors == int8_vectors && b + 1 < blocks_ && to(b) != to(b + 1);
            multiply_int8(dots_, two ? 2 * vectors : vectors, rows, depth_, words, rounded(),
                          panel<Stored>(p, b), scales<Stored>(p, b), to(b), stride,
                          two ? to(b + 1) - to(b) : int8_vectors * lanes<T>);
            b += two ? 2 : 1;
        }
    }

    template <class Stored, class To>
    void add_pairs(Index p, Index rows, const std::int32_t* words, Tiles& tiles, const To& to,
                   Index stride) const {
        if constexpr (Stored::weights_in_word == 2)
            for (Index b = 0; b < blocks_; ++b)
                multiply_pairing(pairing_, tiles, cut_.vectors_of(p), rows, words_for<BFloat16>(depth_),
                                 words, lines_of_pairs(depth_), rounded(), panel<Stored>(p, b), rests(p),
                                 to(b), stride, come_from_afar(bytes()));
    }

    template <class Stored, class To>
    void add_rows(Index p, Index rows, const T* const* vectors, const To& to, Index stride) const {
        const int width = cut_.vectors_of(p);
        for (Index b = 0; b < blocks_; ++b)
            if constexpr (Stored::weights_in_word == 1)
                multiply_panel<T>(width, rows, depth_, AlongRows<T>{vectors, 0}, panel<Stored>(p, b),
                                  to(b), stride, come_from_afar(bytes()));
            else
                multiply_narrow<Stored>(width, rows, depth_, vectors, panel<Stored>(p, b), to(b),
                                        stride);
    }
};

// The same transposed: what gradients of blocks, which lie in slots one behind the other, give back
// to the vector that the blocks took.
template <class T>
class PackedTransposed {
public:
    static constexpr Index few_rows = 16;  // that read weights along, and round nothing

    // Of a matrix without heads, all blocks at once, for so many rows of gradients.
    PackedTransposed(const Layer<T>& layer, const Product& product, Index rows)
        : product_(&product), matrix_(layer.matrices[product.matrix].weight),
          height_(layer.of(layer.cell->matrices[product.matrix].rows)), rows_(height_),
          padded_(Cut<T>(rows_).padded()), depth_(Index(product.blocks.size()) * padded_),
          cut_(layer.of(layer.cell->matrices[product.matrix].columns)), reads_along_(rows <= few_rows),
          pairing_(pairing_of(layer.format)) {}

    // Of one block of one head.
    PackedTransposed(const Layer<T>& layer, const Product& product, int block, int head)
        : product_(&product), matrix_(layer.matrices[product.matrix].weight),
          height_(layer.of(layer.cell->matrices[product.matrix].rows)),
          rows_(height_ / layer.cell->matrices[product.matrix].heads), padded_(rows_),
          depth_(rows_),
          cut_(layer.of(layer.cell->matrices[product.matrix].columns) /
               layer.cell->matrices[product.matrix].heads),
          block_(block), first_(head * rows_), from_(block * Cut<T>(height_).padded() + first_),
          to_(head * cut_.units), pairing_(pairing_of(layer.format)) {}

    Index bytes() const {
        if (takes_pairs())
            return pairing_.rows() * words_for<BFloat16>(depth_) * cut_.padded() *
                   Index(sizeof(std::int32_t));
        return depth_ * cut_.padded() * Index(sizeof(T));
    }
    void lies_at(void* memory) { weights_ = memory; }
    const Cut<T>& cut() const { return cut_; }
    int source() const { return product_->source; }
    int target() const { return product_->targets[0]; }
    Index from() const { return from_; }  // behind the source's first unit
    Index to() const { return to_; }      // the first of the target's units

    // Whether few rows read the weights along, as they are: by `add_along`.
    bool reads_along() const { return reads_along_; }
    // Whether packing all weights pays where they are used so many times.
    bool is_worth_packing(Index times) const {
        return !reads_along_ && (times > 1 || takes_pairs());
    }

    void pack(int part, int parts) const {
        if (!weights_) return;
        for (Index p = cut_.count * part / parts; p < cut_.count * (part + 1) / parts; ++p)
            if (takes_pairs())
                pack_pairs(p);
            else
                pack_part(p, 0, depth_, panel<T>(p, depth_));
    }

    // The words of a row of gradients, where they are taken as pairs; else none.
    Index rounded() const {
        return takes_pairs() ? pairing_.rows() * lines_of_pairs(depth_) : 0;
    }
    void round(Index rows, const EvenRows<T>& grads, std::int32_t* words) const {
        if constexpr (std::is_same_v<T, float>)
            for (Index r = 0; takes_pairs() && r < rows; ++r)
                round_pairing(pairing_, grads.data + r * grads.stride, depth_, lines_of_pairs(depth_),
                              words + r * rounded());
    }

    // Adds panel p of the products with rows of gradients, or with those that were rounded to `words`.
    void add(Index p, Index rows, const EvenRows<T>& grads, const std::int32_t* words, Tiles& tiles,
             T* sums, Index stride) const {
        const int width = cut_.vectors_of(p);
        if constexpr (std::is_same_v<T, float>)
            if (takes_pairs())
                return multiply_pairing(pairing_, tiles, width, rows, words_for<BFloat16>(depth_), words,
                                        lines_of_pairs(depth_), rounded(), pairs_of(p), rests(p), sums,
                                        stride, come_from_afar(bytes()));
        if (weights_)
            multiply_panel<T>(width, rows, depth_, grads, panel<T>(p, depth_), sums, stride,
                              come_from_afar(bytes()));
        else
            multiply_in_parts<T>(
                width, rows, depth_, grads,
                [&](Index k, Index depth, T* part) { pack_part(p, k, depth, part); }, sums, stride);
    }

    // The same for columns `first` to `last` - 1 of weights that are read along, in the same order.
    // `sums` gives where column `first` of each row of sums is.
    template <class To>
    void add_along(Index first, Index last, Index rows, const EvenRows<T>& grads,
                   const To& sums) const {
        for (std::size_t b = 0; b < product_->blocks.size(); ++b)
            multiply_along<T>(rows, rows_, grads.behind(Index(b) * padded_),
                              matrix_ + product_->blocks[b] * rows_ * cut_.units + first,
                              cut_.units, last - first, sums);
    }

private:
    const Product* product_;
    const T* matrix_;
    const Index height_, rows_, padded_, depth_;  // of a block, and those of it that are taken
    const Cut<T> cut_;
    const Index block_ = 0, first_ = 0, from_ = 0, to_ = 0;
    const bool reads_along_ = false;
    const Pairing pairing_;  // of weights and gradients
    void* weights_ = nullptr;

    bool takes_pairs() const { return pairing_.is_used && !reads_along_; }

    template <class Word>
    Word* panel(Index p, Index depth) const {
        return static_cast<Word*>(weights_) + cut_.first(p) * depth;
    }

    std::int32_t* pairs_of(Index p) const {
        return panel<std::int32_t>(p, pairing_.rows() * words_for<BFloat16>(depth_));
    }
    // How far the rests of a panel lie behind it.
    Index rests(Index p) const { return words_for<BFloat16>(depth_) * cut_.vectors_of(p) * lanes<T>; }

    // Packs panel p in pairs of rows.
    void pack_pairs(Index p) const {
        if constexpr (std::is_same_v<T, float>) {
            const Index width = cut_.vectors_of(p) * lanes<T>;
            std::int32_t* to = pairs_of(p);
            T rows[2 * plain_width<T>];
            for (Index k = 0; k < depth_; k += 2, to += width) {
                const bool has_lower = k + 1 < depth_;
                pack_part(p, k, has_lower ? 2 : 1, rows);
                const float* lower = has_lower ? rows + width : nullptr;
                if (pairing_.has_rests) pair_rows<Part::rest>(rows, lower, width, to + rests(p));
                pair_rows(rows, lower, width, to);
            }
        }
    }

    // Packs so much of panel p, from row `first` of its `depth_` on.
    void pack_part(Index p, Index first, Index depth, T* to) const {
        const Index width = cut_.vectors_of(p) * lanes<T>;
        for (Index k = first; k < first + depth; ++k, to += width) {
            const Index row = k % padded_;
            if (row < rows_)
                pack_row(matrix_ + (product_->blocks[block_ + k / padded_] * height_ + first_ + row) *
                                       cut_.units,
                         cut_.first(p), cut_.units, width, to);
            else
                __builtin_memset(to, 0, width * sizeof(T));
        }
    }
};

}  // namespace gated::GATED_TARGET
