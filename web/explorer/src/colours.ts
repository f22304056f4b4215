/** Colours that colour-blind readers tell apart, for light and dark pages. */
import { interpolateLab } from "d3-interpolate";
import { scaleLinear } from "d3-scale";

export type Theme = "light" | "dark";
export type Palette = (value: number) => string;

const STEPS = {
  light: { gate: ["#f4f7fb", "#7fa8d1", "#0b3c73"], signed: ["#a34700", "#f3b27a", "#f6f6f4", "#86b6e4", "#0b5394"] },
  dark: { gate: ["#10161f", "#2f6ea8", "#cfe6ff"], signed: ["#ffb066", "#a65a16", "#161b23", "#2468a6", "#8cc6ff"] },
};

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

/** Curves of one unit: its state, the gate that keeps, the gate that writes (or resets). */
export const CURVE_STYLES = {
  state: { light: "#1b2430", dark: "#e8edf4", dash: [], width: 2.4 },
  keep: { light: "#0b6fc2", dark: "#7dbcff", dash: [], width: 1.6 },
  write: { light: "#a34700", dark: "#ffa35c", dash: [5, 3], width: 1.6 },
} satisfies Record<string, { light: string; dark: string; dash: number[]; width: number }>;

export const NETWORK_STYLES: Record<string, { light: string; dark: string; dash: string }> = {
  rnn: { light: "#a34700", dark: "#ffa35c", dash: "2 4" },
  gru: { light: "#00664a", dark: "#4fd1a5", dash: "8 4" },
  lstm: { light: "#0b5394", dark: "#7dbcff", dash: "none" },
};
