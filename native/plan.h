// How a step is computed, for any cell: products with weights in stages, and between them pointwise
// programs. gated.cells.plan writes plans; the loop over time runs them and knows nothing of gates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gated {

// Hidden units, input features, projected units, or one number for a sequence.
enum class Width { units, inputs, outputs, one };

// Where an operand's memory is, in the order of gated.cells.plan.BASES.
enum class Base {
    slot, kept, input, before, after, output, parameter, sequence, constant, grad_output,
    grad_after, grad_before, grad_kept, grad_history, per_step, grad_sum, count
};

// In the order of gated.cells.plan.OPERATIONS.
enum class Operation {
    copy, add, sub, mul, div, neg, sigmoid, tanh, relu, softplus, exp, log, sqrt, abs, maximum,
    minimum, less, less_equal, equal, where, sigmoid_back, tanh_back, normalise, multiply_add,
    multiply_subtract, subtract_product, sigmoid_back_of_product, tanh_back_of_product, sum, draw,
    accumulate, count
};

struct Operand {
    Base base;
    int index;
    Width width;
};

// Numbers from 0 on are operands, those below are registers: -1 is the first.
struct Instruction {
    Operation operation;
    int result;
    int arguments[3];
    int about;
};

// Instructions that run through the units side by side.
struct Segment {
    Width width = Width::units;
    int registers = 0;
    bool reduces = false;  // sums over units, and so must see all of them
    int compiled = -1;     // its place among the segments that were compiled, or -1
    std::vector<Instruction> instructions;
};

// Blocks of a matrix by a vector; or transposed, what gradients of blocks give back to it.
struct Product {
    int matrix;
    std::vector<int> blocks;
    int source;                // operand; transposed: the first of the blocks' slots
    std::vector<int> targets;  // operands, one for each block; transposed: one
};

struct Stage {
    std::vector<Product> products;
    std::vector<Segment> segments;
};

// A vector that a slot starts from, or whose gradient it adds to.
struct SlotVector {
    int slot, array, block;  // arrays: the biases of the matrices, then the parameters
};

// The gradient of a matrix: the sum over rows of gradients times what was multiplied.
struct Summed {
    int matrix, source;  // source: operand
    std::vector<int> blocks, slots;
};

struct Plan {
    std::vector<Operand> operands;  // by base
    std::vector<Width> slots, kept;
    std::vector<double> constants;        // numbers,
    std::vector<int> constant_widths;     // or, from 0 on, how many units a width has
    std::vector<Stage> stages;
    std::vector<Product> with_input;      // for many steps at once
    std::vector<SlotVector> vectors;
    std::vector<std::vector<int>> per_step;       // slot, and the input whose one number it takes
    std::vector<std::vector<int>> grad_per_step;  // slot, and the input whose gradient it is
    std::vector<Summed> summed;
    int grad_input = -1;  // a slot, or -1
    bool can_split = false;  // whether some units can be computed apart from others

    // Whether everything in it has the width of the hidden units and nothing sums over them.
    void find_out() {
        can_split = true;
        for (const Width width : slots) can_split &= width == Width::units;
        for (const Operand& of : operands)
            can_split &= of.width == Width::units || of.base == Base::input ||
                         of.base == Base::constant;
        for (const Stage& stage : stages)
            for (const Segment& segment : stage.segments)
                can_split &= segment.width == Width::units && !segment.reduces;
    }
};

struct MatrixShape {
    Width rows, columns;
    int blocks;
    int heads = 1;  // groups of units, of which each is multiplied by its own alone
};

// What a cell is to the core.
struct Cell {
    std::vector<MatrixShape> matrices;
    std::vector<int> parameters;   // blocks of each; 0 for one number
    std::vector<Width> sequence;   // of the inputs that stay the same over all steps
    std::vector<Width> states;     // the first is the hidden state
    std::vector<Width> per_step;   // of the inputs that differ from step to step
    bool output_is_hidden = true;  // the output is the first state
    Plan inference, training, backward, backward_of_gates;
};

using Numbers = std::vector<std::vector<int>>;

// A plan and a cell of what gated.cells.emit_cpp lists. Throws std::invalid_argument for what would
// reach beyond its operands.
Plan plan_of(const Numbers& operands, const std::vector<int>& slots, const std::vector<int>& kept,
             const std::vector<double>& constants, const std::vector<int>& constant_widths,
             int stages, const Numbers& products, const Numbers& segments,
             const std::vector<std::string>& digests, const Numbers& vectors,
             const Numbers& per_step, const Numbers& grad_per_step, const Numbers& summed,
             int grad_input);
Cell cell_of(const Numbers& matrices, const std::vector<int>& parameters,
             const std::vector<int>& sequence, const std::vector<int>& states,
             const std::vector<int>& per_step, bool output_is_hidden, const Plan& inference,
             const Plan& training, const Plan& backward, const Plan& backward_of_gates);

// The place of a segment among those that were compiled, or -1: by a digest of what it says.
int compiled_segment(const std::string& digest);

}  // namespace gated
