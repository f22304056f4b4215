/** Colours that colour-blind readers tell apart, for light and dark pages. */
import { interpolateLab } from "d3-interpolate";
import { scaleLinear } from "d3-scale";

export type Theme = "light" | "dark";
export type Palette = (value: number) => string;

const STEPS = {
  light: { gate: ["#f4f7fb", "#7fa8d1", "#0b3c73"], signed: ["#b06d00", "#eab23e", "#f6f6f4", "#74b3df", "#005c91"] },
  dark: { gate: ["#10161f", "#2f6ea8", "#cfe6ff"], signed: ["#ffc95e", "#a67500", "#161b23", "#1d6fa6", "#85cbf5"] },
};

/** The colours of Okabe and Ito, as in all pictures of the documentation and the reports (gated/report/diagrams/style.py). */
const HUES = {
  light: { blue: "#0072b2", orange: "#e69f00", green: "#009e73", vermilion: "#d55e00", purple: "#cc79a7", sky: "#56b4e9", muted: "#66727f" },
  dark: { blue: "#4da6e0", orange: "#f0b429", green: "#2fc79a", vermilion: "#ff7f3f", purple: "#e29cc3", sky: "#8fd0f5", muted: "#a3afbb" },
} as const;

/** What a wire or a gate does, each with its one colour: in the story, the cells, the curves. */
const ROLES = { keep: "vermilion", write: "green", candidate: "orange", read: "purple", cell: "blue", hidden: "sky", plain: "muted" } as const;
export type Role = keyof typeof ROLES;

export function roleColour(role: Role, theme: Theme): string {
  return HUES[theme][ROLES[role]];
}

/** Each role with its colour. */
export function roleColours(theme: Theme): [Role, string][] {
  return (Object.keys(ROLES) as Role[]).map((role) => [role, roleColour(role, theme)]);
}

/** A gate: 0 closed, 1 open. */
export function gatePalette(theme: Theme): Palette {
  return scaleLinear<string>([0, 0.5, 1], STEPS[theme].gate).interpolate(interpolateLab).clamp(true);
}

/** A state: −1 orange, 0 nothing, 1 blue. */
export function signedPalette(theme: Theme): Palette {
  return scaleLinear<string>([-1, -0.5, 0, 0.5, 1], STEPS[theme].signed).interpolate(interpolateLab).clamp(true);
}

/** 256 colours of a palette over [low, high], as bytes r, g, b, a. */
export function bytes(palette: Palette, low: number, high: number): Uint8ClampedArray {
  const table = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) {
    const [r, g, b] = palette(low + ((high - low) * i) / 255).match(/\d+(\.\d+)?/g)!.map(Number);
    table.set([r, g, b, 255], 4 * i);
  }
  return table;
}

/** A palette over [low, high] as the colours of a gradient. */
export function stops(palette: Palette, low: number, high: number): string {
  return Array.from({ length: 9 }, (_, place) => palette(low + ((high - low) * place) / 8)).join(", ");
}

/** Curves of one unit, each in the colour of its role: its state, the gate that keeps, the gate that writes (or reads). */
export const CURVE_STYLES = {
  cell: { dash: [], width: 2.4 },
  hidden: { dash: [], width: 2.4 },
  keep: { dash: [], width: 1.6 },
  write: { dash: [5, 3], width: 1.6 },
  read: { dash: [5, 3], width: 1.6 },
  plain: { dash: [2, 3], width: 1.6 },
} satisfies Partial<Record<Role, { dash: number[]; width: number }>>;

/** Networks, in the colours that they have in reports. */
export const NETWORK_STYLES: Record<string, { light: string; dark: string; dash: string }> = {
  rnn: { light: HUES.light.orange, dark: HUES.dark.orange, dash: "2 4" },
  gru: { light: HUES.light.green, dark: HUES.dark.green, dash: "8 4" },
  lstm: { light: HUES.light.blue, dark: HUES.dark.blue, dash: "none" },
};

/** Other networks, in turn. */
export const OTHER_STYLES = [
  { light: HUES.light.purple, dark: HUES.dark.purple, dash: "12 3 3 3" },
  { light: HUES.light.vermilion, dark: HUES.dark.vermilion, dash: "6 3" },
  { light: HUES.light.sky, dark: HUES.dark.sky, dash: "none" },
  { light: HUES.light.muted, dark: HUES.dark.muted, dash: "2 3" },
];
