"""The style sheet inside every diagram: Okabe and Ito's colours, for light and dark pages."""

from __future__ import annotations

from gated.report.drawing import BLUE, GREEN, INK, LINE, MUTED, ORANGE, PURPLE, SKY, VERMILION

LIGHT = {
    "paper": "#ffffff",
    "wash": "#f4f6f8",
    "ink": INK,
    "muted": MUTED,
    "line": LINE,
    "blue": BLUE,
    "orange": ORANGE,
    "green": GREEN,
    "vermilion": VERMILION,
    "purple": PURPLE,
    "sky": SKY,
}
DARK = {
    "paper": "#14191f",
    "wash": "#1d242c",
    "ink": "#e6ebf0",
    "muted": "#a3afbb",
    "line": "#36414c",
    "blue": "#4da6e0",
    "orange": "#f0b429",
    "green": "#2fc79a",
    "vermilion": "#ff7f3f",
    "purple": "#e29cc3",
    "sky": "#8fd0f5",
}
"""As on the report page."""
ROLES = {
    "keep": "vermilion",
    "write": "green",
    "candidate": "orange",
    "read": "purple",
    "cell": "blue",
    "hidden": "sky",
    "input": "muted",
    "output": "muted",
    "plain": "muted",
}


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colours.items())


_SELECTOR = ".gated-diagram"
_RULES = {
    # Inside the diagram, by selector; & is the diagram itself.
    "": "color-scheme:light dark;max-width:100%;height:auto;"
    'font-family:system-ui,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",'
    "sans-serif",
    ".paper": "fill:var(--paper)",
    "text": "fill:var(--ink)",
    ".math": 'font-family:"STIX Two Text","Times New Roman","Liberation Serif",'
    '"Cambria Math","DejaVu Serif",serif',
    ".variable": "font-style:italic",
    ".words": "fill:var(--muted)",
    ".strong": "font-weight:600",
    ".halo": "fill:none;stroke:var(--wash);stroke-width:7;stroke-linejoin:round",
    ".line": "fill:none;stroke:currentColor;stroke-linejoin:round",
    ".way": "color:var(--role);stroke-width:2.4",
    ".head,.joint": "fill:currentColor;stroke:none",
    ".dashed .line": "stroke-dasharray:6 5",
    ".value": "fill:var(--muted);font-variant-numeric:tabular-nums",
    ".letter": "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace",
    "&.filled .wire": "--role:var(--muted)",
    ".rule": "stroke:var(--line)",
    ".mark": "fill:var(--sky);fill-opacity:.25",
    ".positive": "fill:var(--blue)",
    ".negative": "fill:var(--orange)",
    ".thin .way": "stroke-width:1.1",
    ".base": "fill:var(--paper)",
    ".tint": "fill:var(--role);fill-opacity:.16;stroke:var(--role);stroke-width:2",
    ".dot": "fill:var(--ink)",
    ".plus": "fill:none;stroke:var(--ink);stroke-width:2",
    ".region": "fill:var(--role);fill-opacity:.1;stroke:var(--role);stroke-opacity:.25",
    ".region.plain": "fill:var(--wash);fill-opacity:1;stroke:var(--line);stroke-opacity:1",
    ".region.dashed": "stroke:var(--role);stroke-opacity:1;stroke-dasharray:5 5",
}


def _sheet() -> str:
    lines = [
        f"{_SELECTOR}{{{_variables(LIGHT)}}}",
        f"@media (prefers-color-scheme:dark){{{_SELECTOR}{{{_variables(DARK)}}}}}",
    ]
    lines += [f"{_SELECTOR} .{role}{{--role:var(--{colour})}}" for role, colour in ROLES.items()]
    for names, rule in _RULES.items():
        whole = names if names.startswith("&") else f"& {names}".rstrip()
        selector = whole.replace(",", ",& ").replace("&", _SELECTOR)
        lines.append(f"{selector}{{{rule}}}")
    return "\n" + "\n".join(lines) + "\n"


STYLE = _sheet()
