/** What the page shows. All of it stands in the address, so that a link carries the view. */
export interface View {
  text: string;
  network: string;
  step: number;
  unit: number;
  gate: string;
  /** The value that `gate` is held at; null leaves it free. */
  value: number | null;
  /** Hold the gate of every unit, not of `unit` alone. */
  all: boolean;
  language: "en" | "zh";
  theme: "light" | "dark";
}

export function readView(hash: string, otherwise: View): View {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name: string, fallback: number) => {
    const value = Number(given.get(name) ?? NaN);
    return Number.isInteger(value) && value >= 0 ? value : fallback;
  };
  const value = Number(given.get("value") ?? NaN);
  return {
    text: given.get("text") || otherwise.text,
    network: given.get("network") ?? otherwise.network,
    step: whole("step", otherwise.step),
    unit: whole("unit", otherwise.unit),
    gate: given.get("gate") ?? otherwise.gate,
    value: given.get("value") && value >= 0 && value <= 1 ? value : null,
    all: given.get("all") === "1",
    language: given.get("language") === "zh" ? "zh" : given.has("language") ? "en" : otherwise.language,
    theme: given.get("theme") === "dark" ? "dark" : given.has("theme") ? "light" : otherwise.theme,
  };
}

export function writeView(view: View): string {
  const { value, all, step, unit, ...words } = view;
  const kept = new URLSearchParams({ ...words, step: String(step), unit: String(unit) });
  if (value !== null) kept.set("value", String(value));
  if (all) kept.set("all", "1");
  return `#${kept}`;
}
