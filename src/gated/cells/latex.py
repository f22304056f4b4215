r"""A cell's equations in LaTeX, read off its tape: a line for each gate, state and shared value."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gated.cells.tape import Node, Place

if TYPE_CHECKING:
    from gated.cells.cell import Cell

_GREEK = frozenset(
    {
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"),
        *("mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
    }
)
_FUNCTIONS = {
    "sigmoid": r"\sigma",
    "tanh": r"\tanh",
    "relu": r"\operatorname{ReLU}",
    "softplus": r"\operatorname{softplus}",
    "exp": r"\exp",
    "log": r"\log",
    "maximum": r"\max",
    "minimum": r"\min",
    "where": r"\operatorname{where}",
    "sum": r"\operatorname{sum}",
}
_COMPARISONS = {"less": "<", "less_equal": r"\leq", "equal": "="}
_SUM, _PRODUCT, _ATOM = 0, 1, 2
"""How tightly a formula holds together: a looser one gets parentheses inside a tighter one."""


class _Formula(NamedTuple):
    text: str
    strength: int = _ATOM

    def within(self, strength: int) -> str:
        return self.text if self.strength >= strength else f"({self.text})"


def equations(cell: Cell) -> tuple[str, ...]:
    """The lines of a cell in the order in which a step computes them."""
    return _Writer(cell).lines()


def names(cell: Cell) -> dict[Place, str]:
    """Return the names of the values that have an equation of their own, as in the definition.

    A gate with the name of a state or of the input is its candidate, and gets a `~` at the end.
    """
    found: dict[Place, str] = {}
    for state in cell.states:
        if cell.tape[state.after].operation != "state":  # an old state has a name already
            found.setdefault(state.after, state.name)
    taken = {state.name for state in cell.states} | {"x"}
    for gate in dict.fromkeys(gate for matrix in cell.matrices for gate in matrix.gates):
        place = cell.gates.get(cell.gate_names.get(gate, gate))
        if place is not None:
            found.setdefault(place, f"{gate}~" if gate in taken else gate)
    if cell.tape[cell.output].arguments:
        found.setdefault(cell.output, "y")
    for parameter in cell.parameters:
        taken.add(parameter.name)
    letters = (letter for letter in "uvwsqakmnedyzjl" if letter not in taken | {*found.values()})
    users: Counter[Place] = Counter()
    for place in _reached(cell):
        users.update(set(operands(cell, place)))
    for place in sorted(users):
        if users[place] > 1 and cell.tape[place].arguments and place not in found:
            found[place] = next(letters, f"v{place}")
    return found


def operands(cell: Cell, place: Place) -> tuple[Place, ...]:
    """Return the operands in a node's formula; of a normalised value, that value alone."""
    node = cell.tape[place]
    return node.arguments[:1] if node.operation == "normalise" else node.arguments


def symbol(name: str) -> str:
    r"""A name as LaTeX sets it.

    >>> symbol("i"), symbol("tau"), symbol("reset"), symbol("c~")
    ('i', '\\tau', '\\mathrm{reset}', '\\tilde{c}')
    """
    if name.endswith("~"):
        return rf"\tilde{{{symbol(name[:-1])}}}"
    if len(name) == 1:
        return name
    return rf"\{name}" if name in _GREEK else rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"


def _reached(cell: Cell) -> set[Place]:
    """Return the nodes that appear in the equations of the results."""
    reached: set[Place] = set()
    waiting = [cell.output, *(state.after for state in cell.states)]
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            waiting += operands(cell, place)
    return reached


class _Writer:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.tape = cell.tape
        self.names = names(cell)
        self.reached = _reached(cell)
        self.biased = {matrix.name for matrix in cell.matrices if matrix.has_bias}

    def lines(self) -> tuple[str, ...]:
        reached = self.reached
        lines = [
            f"{symbol(name)}_t = {self.formula(place).text}"
            for place, name in sorted(self.names.items())
            if place in reached
        ]
        results = [(state.name, state.after) for state in self.cell.states]
        if not self.cell.output_is_hidden:
            results.append(("y", self.cell.output))
        for name, place in results:
            if self.names.get(place) != name:
                lines.append(f"{symbol(name)}_t = {self.value(place).text}")
        return tuple(lines)

    def value(self, place: Place) -> _Formula:
        """Write a node as an operand: its name if it has one, else its formula."""
        if place in self.names:
            return _Formula(f"{symbol(self.names[place])}_t")
        return self.formula(place)

    def formula(self, place: Place) -> _Formula:
        """Write the formula of a node."""
        node = self.tape[place]
        operation = node.operation
        if not node.arguments:
            text = self.leaf(node)
            return _Formula(text, _SUM if text.startswith("-") else _ATOM)
        if operation in ("add", "sub", "neg", "product"):
            return self.sum(place)
        if operation == "mul":
            return self.multiplied(place)
        if operation == "div" and self.tape[node.arguments[1]].operation == "size":
            (summed,) = self.tape[node.arguments[0]].arguments
            return _Formula(rf"\operatorname{{mean}}({self.value(summed).text})")
        if operation in _COMPARISONS:
            return _Formula(f"[{self.compared(place)}]")
        given = [self.value(argument).text for argument in operands(self.cell, place)]
        if operation == "div":
            return _Formula(rf"\frac{{{given[0]}}}{{{given[1]}}}")
        if operation == "sqrt":
            return _Formula(rf"\sqrt{{{given[0]}}}")
        if operation == "abs":
            return _Formula(rf"\left| {given[0]} \right|")
        if operation == "spread":
            return self.value(node.arguments[0])
        if operation == "normalise":
            return _Formula(rf"\operatorname{{norm}}{self.joint(node)}({given[0]})")
        if operation == "where":
            condition = node.arguments[0]
            if condition not in self.names and self.tape[condition].operation in _COMPARISONS:
                given[0] = self.compared(condition)
        return _Formula(f"{_FUNCTIONS[operation]}({', '.join(given)})")

    def leaf(self, node: Node) -> str:
        about = node.about
        if node.operation == "constant":
            return _number(about)
        if node.operation == "input":
            return "x_t"
        if node.operation == "state":
            return f"{symbol(self.cell.states[about].name)}_{{t-1}}"
        if node.operation == "parameter":
            norm = re.fullmatch("(gain|bias)_(.+)", about.matrix)
            name = norm.groups() if norm else (about.matrix,)
            return _indexed(*name, about.gate if about.gate != "1" else "")
        if node.operation == "per_step":
            return f"{symbol(about)}_t"
        if node.operation == "draw":
            return f"k_{{{symbol(self.cell.states[about].name)},t}}"
        return symbol("H" if node.operation == "size" else str(about))

    def sum(self, place: Place) -> _Formula:
        """A sum with its signs; where it has all products of a gate, they share one bias."""
        terms = self.terms(place, 1)
        products = [of for of, sign in terms if sign > 0 and self.is_product(of, place)]
        text = ""
        for term, sign in terms:
            if term in products:
                pieces = [self.product(term), *self.bias(term, products)]
            else:
                of = self.formula(term) if term == place else self.value(term)
                pieces = [of.within(_PRODUCT)]
            for piece in pieces:
                joint = " + " if sign > 0 else " - "
                text += (joint if text else "" if sign > 0 else "-") + piece
        if len(terms) > 1 or " + " in text or text.startswith("-"):
            return _Formula(text, _SUM)
        return _Formula(text, _SUM if products else _PRODUCT)

    def is_product(self, term: Place, whole: Place) -> bool:
        return self.tape[term].operation == "product" and (term == whole or term not in self.names)

    def terms(self, place: Place, sign: int, inner: bool = False) -> list[tuple[Place, int]]:
        node = self.tape[place]
        if (inner and place in self.names) or node.operation not in ("add", "sub", "neg"):
            return [(place, sign)]
        signs = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}[node.operation]
        return [
            term
            for argument, of in zip(node.arguments, signs, strict=True)
            for term in self.terms(argument, sign * of, inner=True)
        ]

    def product(self, place: Place) -> str:
        node = self.tape[place]
        source = self.value(node.arguments[0]).within(_ATOM)
        return f"{self.weight('W', node)} {source}"

    def bias(self, place: Place, together: list[Place]) -> list[str]:
        """The bias after a product, if any; a shared one is after its gate's last product."""
        about = self.tape[place].about
        if about.matrix not in self.biased:
            return []
        of_gate = [
            of
            for of in sorted(self.reached)
            if self.tape[of].operation == "product"
            and self.tape[of].about.gate == about.gate
            and about.gate != "_"
        ]
        here = [of for of in together if of in of_gate]
        if len(here) == len(of_gate) and here:
            return [_indexed("b", about.gate.strip("_"))] if place == here[-1] else []
        return [self.weight("b", self.tape[place])]

    def weight(self, letter: str, node: Node) -> str:
        matrix, gate = node.about
        name = matrix.removeprefix("weight_")
        states = [state.name for state in self.cell.states]
        delayed = [state.rstrip("0123456789") for state in states]  # d1, d2, …, met as d
        named = {"ih": "x", **{f"{state}h": state for state in (*delayed, *states)}}
        named["hh"] = self.cell.states[0].name
        if name not in named:
            return _indexed(letter, name.removeprefix("linear"))
        return _indexed(letter, named[name], gate.strip("_"))

    def multiplied(self, place: Place) -> _Formula:
        """A product of factors: first scalars, with no sign between, then vectors with ⊙."""
        factors = self.factors(place)
        factors.sort(
            key=lambda of: (self.tape[of].width != "1", self.tape[of].operation != "constant")
        )
        text, narrow = "", False
        for factor in dict.fromkeys(factors):
            count = factors.count(factor)
            piece = self.value(factor).within(_ATOM if count > 1 else _PRODUCT)
            piece += f"^{count}" * (count > 1)
            text += ("" if not text else r" \, " if narrow else r" \odot ") + piece
            narrow = self.tape[factor].width == "1"
        return _Formula(text, _PRODUCT)

    def factors(self, place: Place, inner: bool = False) -> list[Place]:
        node = self.tape[place]
        if (inner and place in self.names) or node.operation != "mul":
            return [place]
        return [of for argument in node.arguments for of in self.factors(argument, inner=True)]

    def compared(self, place: Place) -> str:
        node = self.tape[place]
        one, other = (self.value(argument).text for argument in node.arguments)
        return f"{one} {_COMPARISONS[node.operation]} {other}"

    def joint(self, node: Node) -> str:
        """The index that lists the gates which are normalised together; empty for one."""
        together = [
            of.arguments[0]
            for of in self.tape.nodes
            if of.operation == "normalise" and of.arguments[1:] == node.arguments[1:]
        ]
        if len(together) < 2:
            return ""
        gates = [self.tape[place].about.gate for place in together]
        return rf"_{{{','.join(symbol(gate) for gate in gates)}}}"


def _indexed(name: str, *indices: str) -> str:
    given = [symbol(index) for index in indices if index]
    if not given:
        return symbol(name)
    if len(given) == 1 and len(given[0]) == 1:
        return f"{symbol(name)}_{given[0]}"
    joint = "" if all(len(index) == 1 for index in given) else ","
    return f"{symbol(name)}_{{{joint.join(given)}}}"


def _number(value: float) -> str:
    mantissa, _, power = f"{value:.6g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(power)}}}" if power else mantissa
