"""Writes the segments of the library's cells in C++, for the native core to be built with.

python -m gated.cells.emit_cpp DIRECTORY
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from gated.cells.plan import Plan, Segment


def digest(plan: Plan, segment: Segment) -> str:
    """What a segment is known by: a hash of all that its code depends on."""
    used = sorted({o for i in segment.instructions for o in (i.result, *i.arguments) if o >= 0})
    widths = [(operand, plan.operands[operand].width == "1") for operand in used]
    said = repr((segment.width, tuple(map(tuple, segment.instructions)), widths))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def compiled(plan_of: Iterable[Plan]) -> dict[str, str]:
    """The code of each segment that can be compiled, by its digest."""
    code: dict[str, str] = {}
    for plan in plan_of:
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
        "    constexpr Index L = lanes<T>;",
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


_NOTE = "// Written by gated.cells.emit_cpp from gated.cells.library.\n#pragma once\n"


def headers(plan_of: Iterable[Plan]) -> dict[str, str]:
    """The files, by name."""
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
    """Write the headers, those alone that differ: so that nothing is built for nothing."""
    from gated.cells.compiled import compiled_plans

    for name, text in headers(compiled_plans()).items():
        path = Path(directory) / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
