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


_FIXED = {
    # By selector inside the diagram; & is the diagram itself.
    "": "color-scheme:light dark;"
    'font-family:system-ui,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",'
    "sans-serif",
    ".math": 'font-family:"STIX Two Text","Times New Roman","Liberation Serif",'
    '"Cambria Math","DejaVu Serif",serif',
    ".variable": "font-style:italic",
    ".strong": "font-weight:600",
    ".halo": "fill:none;stroke-width:7;stroke-linejoin:round",
    ".line": "fill:none;stroke:currentColor;stroke-linejoin:round",
    ".way": "stroke-width:2.4",
    ".head,.joint": "fill:currentColor;stroke:none",
    ".dashed .line": "stroke-dasharray:6 5",
    ".value": "font-variant-numeric:tabular-nums",
    ".letter": "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace",
    ".mark": "fill-opacity:.25",
    ".thin .way": "stroke-width:1.1",
    ".tint": "fill-opacity:.16;stroke-width:2",
    ".plus": "fill:none;stroke-width:2",
    ".region": "fill-opacity:.1;stroke-opacity:.25",
    ".region.plain": "fill-opacity:1;stroke-opacity:1",
    ".region.dashed": "stroke-opacity:1;stroke-dasharray:5 5",
}
_OF_ROLE = {".{role} .way": "color", ".{role} .tint,.region.{role}": "fill,stroke"}
_COLOURED = {
    ".paper,.base": "fill:{paper}",
    "text,.dot": "fill:{ink}",
    ".words,.value": "fill:{muted}",
    ".halo": "stroke:{wash}",
    ".rule": "stroke:{line}",
    ".mark": "fill:{sky}",
    ".plus": "stroke:{ink}",
    ".region.plain": "fill:{wash};stroke:{line}",
    # The wires of a diagram with values have the colour of their sign, whatever their role.
    "&.filled .way": "color:{muted}",
    ".bar.positive": "fill:{blue}",
    ".bar.negative": "fill:{orange}",
    "&.filled .way.positive": "color:{blue}",
    "&.filled .way.negative": "color:{orange}",
}
"""Each declaration holds one colour and nothing else."""


def _rule(names: str, declarations: str) -> str:
    whole = names if names.startswith("&") else f"& {names}".rstrip()
    return f"{whole.replace(',', ',& ').replace('&', '.gated-diagram')}{{{declarations}}}"


def _colours(colours: dict[str, str]) -> list[str]:
    """Return the rules that give everything its colour."""
    of_roles = {
        names.replace("{role}", role): ";".join(
            f"{what}:{colours[colour]}" for what in properties.split(",")
        )
        for role, colour in ROLES.items()
        for names, properties in _OF_ROLE.items()
    }
    others = {names: rule.format_map(colours) for names, rule in _COLOURED.items()}
    return [_rule(names, declarations) for names, declarations in (of_roles | others).items()]


DARK_PAGE = "(prefers-color-scheme:dark)"
# No variables: most viewers other than browsers know none, and draw in black what has one. They
# know no media queries either, and so show the light colours.
STYLE = "\n".join(
    [
        "",
        # Viewers that take the height for a number would draw nothing.
        f"@media screen{{{_rule('', 'max-width:100%;height:auto')}}}",
        *(_rule(names, declarations) for names, declarations in _FIXED.items()),
        *_colours(LIGHT),
        f"@media {DARK_PAGE}{{",
        *_colours(DARK),
        "}",
        "",
    ]
)
"""The common style of all pictures; their SVG follows the light or dark colours of the page."""
