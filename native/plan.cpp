// Reads plans as gated.cells.emit_cpp lists them.
#include "plan.h"

#include <stdexcept>
#include <utility>

namespace gated {

// Reads a plan as gated.core.plans lists it, and refuses what would reach beyond its operands.
Plan plan_of(const Numbers& operands, const std::vector<int>& slots,
                    const std::vector<int>& kept, const std::vector<double>& constants,
                    const std::vector<int>& constant_widths, int stages, const Numbers& products,
                    const Numbers& segments, const std::vector<std::string>& digests,
                    const Numbers& vectors, const Numbers& per_step, const Numbers& grad_per_step,
                    const Numbers& summed, int grad_input) {
    Plan plan;
    const auto check = [](bool holds) {
        if (!holds) throw std::invalid_argument("a plan refers to what it does not have");
    };
    const int count = int(operands.size());
    const auto operand = [&](int of) { check(of >= 0 && of < count); return of; };
    for (const auto& of : operands)
        plan.operands.push_back({Base(of.at(0)), of.at(1), Width(of.at(2))});
    for (const int of : slots) plan.slots.push_back(Width(of));
    for (const int of : kept) plan.kept.push_back(Width(of));
    plan.constants = constants;
    plan.constant_widths = constant_widths;
    plan.stages.resize(stages);
    for (const auto& of : products) {  // stage, matrix, source, blocks, how many, and their targets
        Product product{of.at(1), {}, operand(of.at(2)), {}};
        const int blocks = of.at(3);
        for (int i = 0; i < blocks; ++i) product.blocks.push_back(of.at(4 + i));
        for (std::size_t i = 4 + blocks; i < of.size(); ++i)
            product.targets.push_back(of[i] < 0 ? -1 : operand(of[i]));
        if (of.at(0) < 0)
            plan.with_input.push_back(std::move(product));
        else
            plan.stages.at(of[0]).products.push_back(std::move(product));
    }
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const auto& of = segments[i];  // stage, width, registers, and six for each instruction
        Segment segment;
        segment.width = Width(of.at(1));
        segment.registers = of.at(2);
        segment.compiled = digests.at(i).empty() ? -1 : compiled_segment(digests[i]);
        const auto place = [&](int at) {
            check(at < count && at >= -segment.registers);
            return at;
        };
        for (std::size_t j = 3; j + 5 < of.size(); j += 6) {
            check(of[j] >= 0 && of[j] < int(Operation::count));
            const auto operation = Operation(of[j]);
            segment.instructions.push_back({operation, place(of[j + 1]),
                                            {place(of[j + 2]), place(of[j + 3]), place(of[j + 4])},
                                            of[j + 5]});
            segment.reduces |= operation == Operation::sum;
        }
        plan.stages.at(of.at(0)).segments.push_back(std::move(segment));
    }
    for (const auto& of : vectors) plan.vectors.push_back({of.at(0), of.at(1), of.at(2)});
    plan.per_step = per_step;
    plan.grad_per_step = grad_per_step;
    for (const auto& of : summed) {  // matrix, source, then blocks and their slots in turn
        Summed sum{of.at(0), operand(of.at(1)), {}, {}};
        for (std::size_t i = 2; i + 1 < of.size(); i += 2) {
            sum.blocks.push_back(of[i]);
            sum.slots.push_back(operand(of[i + 1]));
        }
        plan.summed.push_back(std::move(sum));
    }
    plan.grad_input = grad_input;
    plan.find_out();
    return plan;
}

Cell cell_of(const Numbers& matrices, const std::vector<int>& parameters,
             const std::vector<int>& sequence, const std::vector<int>& states,
             const std::vector<int>& per_step, bool output_is_hidden, const Plan& inference,
             const Plan& training, const Plan& backward, const Plan& backward_of_gates) {
    Cell made;
    bool has_heads = false;
    for (const auto& of : matrices) {
        made.matrices.push_back({Width(of.at(0)), Width(of.at(1)), of.at(2), of.at(3)});
        has_heads |= of.at(3) > 1;
    }
    made.parameters = parameters;
    for (const int of : sequence) made.sequence.push_back(Width(of));
    for (const int of : states) made.states.push_back(Width(of));
    for (const int of : per_step) made.per_step.push_back(Width(of));
    made.output_is_hidden = output_is_hidden;
    made.inference = inference;
    made.training = training;
    made.backward = backward;
    made.backward_of_gates = backward_of_gates;
    if (has_heads)  // units are shared out by panels of the whole matrix
        for (Plan* plan : {&made.inference, &made.training, &made.backward, &made.backward_of_gates})
            plan->can_split = false;
    return made;
}

}  // namespace gated
