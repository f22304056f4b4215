// The weights of a product of a plan, packed in panels, and the product itself.
#pragma once

#include "matmul.h"
#include "rnn.h"

namespace gated::GATED_TARGET {

// Bytes that stay near from one use to the next.
constexpr Index second_cache = Index{512} << 10;

// Blocks of a matrix by vectors: the sums of a panel of units lie in the slots of the blocks, and
// are there, for all blocks, before the next panel begins.
template <class T>
class PackedProduct {
public:
    PackedProduct(const Layer<T>& layer, const Product& product)
        : product_(&product), matrix_(layer.matrices[product.matrix].weight),
          blocks_(Index(product.blocks.size())),
          cut_(layer.of(layer.cell->matrices[product.matrix].rows)),
          depth_(layer.of(layer.cell->matrices[product.matrix].columns)) {}

    Index size() const { return blocks_ * cut_.padded() * depth_; }
    void lies_at(T* memory) { weights_ = memory; }
    const Cut<T>& cut() const { return cut_; }
    int source() const { return product_->source; }

    // Whether packing pays where the weights are used so many times, by up to `rows_unpacked` rows
    // each: to turn squares of them around takes about as long as to fetch them, packed or not, from
    // beyond the second cache.
    bool is_worth_packing(Index uses) const {
        return uses > (size() * Index(sizeof(T)) > second_cache ? 4 : 1);
    }

    void pack(int part, int parts) const {
        if (!weights_) return;
        for (Index p = cut_.count * part / parts; p < cut_.count * (part + 1) / parts; ++p)
            for (Index b = 0; b < blocks_; ++b)
                pack_panel<T>(rows_of(p, b), cut_.units - cut_.first(p), cut_.vectors_of(p), depth_,
                              depth_, panel(p, b));
    }

    // Adds panel p of the products with `rows` vectors to the slots, which lie at `offsets` in rows
    // of `stride`. Weights that no memory was given for are read where they are.
    void add(Index p, Index rows, const T* const* vectors, const Index* offsets, T* sums,
             Index stride) const {
        const int width = cut_.vectors_of(p);
        const auto to = [&](Index b) { return sums + offsets[product_->targets[b]] + cut_.first(p); };
        if (!weights_) {
            for (Index b = 0; b < blocks_; ++b)
                multiply_panel_unpacked<T>(width, rows, depth_, vectors, rows_of(p, b),
                                           cut_.units - cut_.first(p), to(b), stride);
            return;
        }
        if (rows == 1) {
            for (Index b = 0; b < blocks_;) {
                const T* panels[most_panels];
                T* at[most_panels];
                int count = 0;
                for (; count < most_panels && b + count < blocks_; ++count) {
                    T* next = to(b + count);
                    bool again = false;  // sums that another block at hand adds to
                    for (int i = 0; i < count; ++i) again |= at[i] == next;
                    if (again) break;
                    panels[count] = panel(p, b + count);
                    at[count] = next;
                }
                b += multiply_one_panels<T>(width, count, depth_, vectors[0], panels, at);
            }
            return;
        }
        const bool from_memory = come_from_memory<T>(size());
        for (Index b = 0; b < blocks_; ++b)
            multiply_panel<T>(width, rows, depth_, AlongRows<T>{vectors, 0}, panel(p, b), to(b),
                              stride, from_memory);
    }

private:
    const Product* product_;
    const T* matrix_;
    const Index blocks_;
    const Cut<T> cut_;
    const Index depth_;
    T* weights_ = nullptr;

    const T* rows_of(Index p, Index b) const {
        return matrix_ + (product_->blocks[b] * cut_.units + cut_.first(p)) * depth_;
    }
    T* panel(Index p, Index b) const {
        return weights_ + (cut_.first(p) * blocks_ + b * cut_.vectors_of(p) * lanes<T>) * depth_;
    }
};

// The same transposed: what gradients of blocks, which lie in slots one behind the other, give back
// to the vector that the blocks took.
template <class T>
class PackedTransposed {
public:
    PackedTransposed(const Layer<T>& layer, const Product& product)
        : product_(&product), matrix_(layer.matrices[product.matrix].weight),
          rows_(layer.of(layer.cell->matrices[product.matrix].rows)),
          padded_(Cut<T>(rows_).padded()), depth_(Index(product.blocks.size()) * padded_),
          cut_(layer.of(layer.cell->matrices[product.matrix].columns)) {}

    Index size() const { return depth_ * cut_.padded(); }
    void lies_at(T* memory) { weights_ = memory; }
    const Cut<T>& cut() const { return cut_; }
    int source() const { return product_->source; }
    int target() const { return product_->targets[0]; }

    // Whether packing pays where so many rows of gradients use the weights: as they are, they can be
    // read along.
    static bool is_worth_packing(Index rows) { return rows > 16; }

    void pack(int part, int parts) const {
        if (!weights_) return;
        for (Index p = cut_.count * part / parts; p < cut_.count * (part + 1) / parts; ++p)
            for (Index k = 0; k < depth_; ++k) {
                const Index width = cut_.vectors_of(p) * lanes<T>, row = k % padded_;
                T* to = panel(p) + k * width;
                if (row < rows_)
                    pack_row(matrix_ + (product_->blocks[k / padded_] * rows_ + row) * cut_.units,
                             cut_.first(p), cut_.units, width, to);
                else
                    __builtin_memset(to, 0, width * sizeof(T));
            }
    }

    // Adds panel p of the products with rows of gradients.
    void add(Index p, Index rows, const EvenRows<T>& grads, T* sums, Index stride) const {
        multiply_panel<T>(cut_.vectors_of(p), rows, depth_, grads, panel(p), sums, stride,
                          come_from_memory<T>(size()));
    }

    bool is_packed() const { return weights_; }
    // The same for columns `first` to `last` - 1 of weights that were not packed, in the same order.
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
    const Index rows_, padded_, depth_;
    const Cut<T> cut_;
    T* weights_ = nullptr;

    T* panel(Index p) const { return weights_ + cut_.first(p) * depth_; }
};

}  // namespace gated::GATED_TARGET
