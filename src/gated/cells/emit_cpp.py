"""Writes the segments of the library's cells in C++, for the native core to be built with.

python -m gated.cells.emit_cpp DIRECTORY
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gated.cells.cell import Cell
from gated.cells.plan import BASES, OPERATIONS, Instruction, Plan, Segment, accumulating


def digest(plan: Plan, segment: Segment) -> str:
    """Return the identifier of a segment: a hash of all that its code depends on."""
    used = sorted({o for i in segment.instructions for o in (i.result, *i.arguments) if o >= 0})
    widths = [(operand, plan.operands[operand].width == "1") for operand in used]
    said = repr((segment.width, tuple(map(tuple, segment.instructions)), widths))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def compiled(plan_of: Iterable[Plan]) -> dict[str, str]:
    """The code of each segment that can be compiled, by its digest."""
    code: dict[str, str] = {}
    for plan in map(accumulating, plan_of):
        for stage in plan.stages:
            for segment in stage.segments:
                if all(of.operation != "draw" for of in segment.instructions):
                    name = digest(plan, segment)
                    code.setdefault(name, _function(plan, segment, name))
    return code


def _function(plan: Plan, segment: Segment, name: str) -> str:
    """One segment as a function: operands are loaded once, registers are variables."""
    used = sorted({o for i in segment.instructions for o in (i.result, *i.arguments) if o >= 0})
    sums = [i.result for i in segment.instructions if i.operation == "sum"]
    pointers = ", ".join(f"*const p{o} = at[{o}]" for o in used)
    if segment.width == "1":  # one vector, whose lanes are all the same
        loop = ["        if (first < last) part(first, Whole{});"]
    else:
        loop = [
            "        Index unit = first;",
            "        for (; unit + L <= last; unit += L) part(unit, Whole{});",
            "        if (unit < last) part(unit, Partial{last - unit});",
        ]
    lines = [
        "template <class T>",
        f"[[gnu::noinline]] void segment_{name}(const Row<T>* rows, Index count, Index first,"
        " Index last) {",
        *(["    constexpr Index L = lanes<T>;"] if segment.width != "1" else []),
        "    for (Index r = 0; r < count; ++r) {",
        "        T* const* at = rows[r].at;",
        f"        T {pointers};",
        *(f"        Vector<T> sum{o}{{}};" for o in sums),
        "        const auto part = [&](Index unit, auto access) __attribute__((always_inline)) {",
    ]
    stay = [o for o in used if plan.operands[o].base == "constant"]
    lines[-1:-1] = [f"        const Vector<T> v{o} = load(p{o});" for o in stay]
    variables = {o: f"v{o}" for o in stay}

    def value(operand: int) -> str:
        if operand not in variables:
            at = "" if plan.operands[operand].width == "1" else " + unit"
            variables[operand] = f"v{operand}"
            lines.append(f"            const Vector<T> v{operand} = access.load(p{operand}{at});")
        return variables[operand]

    for number, (operation, result, arguments, _) in enumerate(segment.instructions):
        given = ", ".join(map(value, arguments))
        if operation == "sum":
            lines.append(f"            sum{result} += only<T>({given}, access);")
            continue
        if operation == "accumulate":
            at = f"p{result}" if plan.operands[result].width == "1" else f"p{result} + unit"
            lines.append(f"            access.store({at}, access.load({at}) + {given});")
            continue
        lines.append(f"            const Vector<T> x{number} = {operation}_of<T>({given});")
        variables[result] = f"x{number}"
        if result >= 0:
            at = "" if plan.operands[result].width == "1" else " + unit"
            lines.append(f"            access.store(p{result}{at}, x{number});")
    lines += [
        "            static_cast<void>(unit);",
        "        };",
        *loop,
        *(f"        store(p{o}, total<T>(sum{o}));" for o in sums),
        "    }",
        "}",
    ]
    return "\n".join(lines)


WIDTHS = ("H", "I", "P", "1")


def listed_cell(cell: Cell) -> tuple[Any, ...]:
    """A cell encoded in integers, as the native core takes it, without its plans."""
    return (
        [[_width(m.rows), _width(m.columns), len(m.gates), m.heads] for m in cell.matrices],
        [0 if of.gates == ("1",) else max(1, len(of.gates)) for of in cell.parameters],
        [_width(cell.states[0].width) for _ in cell.per_sequence],
        [_width(state.width) for state in cell.states],
        [_width(width) for width in cell.per_step_widths.values()],
        cell.output_is_hidden,
    )


def listed_plan(plan: Plan, compiled: bool = True) -> tuple[Any, ...]:
    """A plan encoded in numbers, as the native core takes it.

    Args:
        plan: any.
        compiled: whether the core may run segments that were compiled into it, not interpreted.
    """
    plan = accumulating(plan)
    sizes = [str(of).startswith("size") for of in plan.constants]
    products = [(-1, product) for product in plan.before]
    products += [(i, product) for i, stage in enumerate(plan.stages) for product in stage.products]
    segments = [(i, segment) for i, stage in enumerate(plan.stages) for segment in stage.segments]
    return (
        [[BASES.index(of.base), of.number, _width(of.width)] for of in plan.operands],
        [_width(of) for of in plan.slots],
        [_width(of) for of in plan.kept],
        [0.0 if size else float(of) for of, size in zip(plan.constants, sizes, strict=True)],
        [
            _width(str(of).removeprefix("size ")) if size else -1
            for of, size in zip(plan.constants, sizes, strict=True)
        ],
        len(plan.stages),
        [
            [stage, of.matrix, of.source, len(of.blocks), *of.blocks, *of.targets]
            for stage, of in products
        ],
        [
            [stage, _width(of.width), of.registers, *(n for i in of.instructions for n in _six(i))]
            for stage, of in segments
        ],
        [digest(plan, of) if compiled else "" for _, of in segments],
        [list(of) for of in plan.vectors],
        [list(of) for of in plan.per_step],
        [list(of) for of in plan.grad_per_step],
        [[of.matrix, of.source, *(n for pair in of.blocks for n in pair)] for of in plan.summed],
        plan.grad_input,
    )


def _six(of: Instruction) -> tuple[int, ...]:
    """An instruction with as many arguments as the core reads."""
    arguments = (*of.arguments, of.result, of.result, of.result)[:3]
    return (OPERATIONS.index(of.operation), of.result, *arguments, of.about)


def _width(width: str) -> int:
    return WIDTHS.index(width)


def _in_cpp(value: Any) -> str:
    """A number, string or list as C++ initialises one."""
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(map(_in_cpp, value)) + "}"
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def cells_by_name(cells: Iterable[Cell]) -> str:
    """Return a header with a function for each of these cells, for checks without Python."""
    from gated.cells.plans import plans  # not what loading a network waits for

    lines = [
        _NOTE,
        '#include "plan.h"\n',
        "inline gated::Cell cell_named(const std::string& name) {",
    ]
    for cell in cells:
        lines.append(f'    if (name == "{cell.name}")')
        made = [
            f"gated::plan_of({', '.join(map(_in_cpp, listed_plan(plan)))})"
            for plan in plans(cell)[:4]
        ]
        given = ", ".join([*map(_in_cpp, listed_cell(cell)), *made])
        lines.append(f"        return gated::cell_of({given});")
    return "\n".join([*lines, "    return {};", "}", ""])


_NOTE = "// Written by gated.cells.emit_cpp from gated.cells.library.\n#pragma once\n"


def headers(plan_of: Iterable[Plan]) -> dict[str, str]:
    """Return the header files by name."""
    code = compiled(plan_of)
    table = "".join(f"    &segment_{name}<T>,\n" for name in code)
    names = "".join(f'    "{name}",\n' for name in code)
    return {
        "compiled.h": f'{_NOTE}\n#include "program.h"\n\nnamespace gated::GATED_TARGET {{\n\n'
        + "\n\n".join(code.values())
        + "\n\ntemplate <class T>\nconstexpr void (*compiled_segments[])(const Row<T>*, Index,"
        f" Index, Index) = {{\n{table}}};\n\n}}  // namespace gated::GATED_TARGET\n",
        "compiled_digests.h": f"{_NOTE}\nnamespace gated {{\n\nconstexpr const char* "
        f"compiled_digests[] = {{\n{names}}};\n\n}}  // namespace gated\n",
    }


def main(directory: str) -> None:
    """Write the headers that have changed, so that no unchanged file is compiled again."""
    from gated.cells.compiled import COMPILED, compiled_plans

    files = headers(compiled_plans()) | {"cells_by_name.h": cells_by_name(COMPILED)}
    for name, text in files.items():
        path = Path(directory) / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
