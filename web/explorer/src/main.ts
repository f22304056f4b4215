/** Ties the page together: one view, one reading a network, and a redraw for each moment. */
import "./style.css";
import { Comparison } from "./comparison";
import { CellDiagram } from "./diagram";
import { HeatMap } from "./heatmap";
import { ledgerOf } from "./ledger";
import { LedgerPanel, PredictionPanel, visible } from "./panels";
import { fetchNetworks, fetchReading, type Network, type Reading } from "./server";
import { TextStrip } from "./strip";
import { readView, writeView, type View } from "./view";
import { WORDS, type Words } from "./words";

const STEPS_PER_SECOND = 8;
const PATIENCE = 250;

/** The views that the tour shows, one for each of its sentences. */
const TOUR: Partial<View>[] = [
  { network: "lstm", value: null },
  { network: "lstm", gate: "forget_gate", value: 1, all: true },
  { network: "lstm", gate: "forget_gate", value: 0, all: true },
  { network: "lstm", gate: "output_gate", value: 0, all: true },
  { network: "rnn", value: null },
];

const find = <E extends Element>(id: string) => document.getElementById(id) as unknown as E;

class Explorer {
  private readonly strip = new TextStrip(find("strip"), (step) => this.go({ step }));
  private readonly diagram = new CellDiagram(find("diagram"), find("equations"));
  private readonly prediction = new PredictionPanel(find("prediction"));
  private readonly ledger = new LedgerPanel(find("ledger"), find("sum"));
  private readonly comparison: Comparison;
  private maps: { name: string; map: HeatMap }[] = [];
  private readings = new Map<string, Reading>();
  private changed: Reading | null = null;
  /** Characters of the text that the readings are of; the text field may be ahead of them. */
  private characters: string[] = [];
  private asked = 0;
  private waiting = 0;
  private frame = 0;
  private playing = 0;
  private linking = 0;

  constructor(private view: View, private readonly networks: Network[], private readonly longest: number) {
    this.comparison = new Comparison(find("comparison"), find("reach"), networks, (network, step, unit) => this.go({ network, step, unit }));
    this.controls();
    this.keyboard();
    addEventListener("resize", () => this.paint());
    addEventListener("hashchange", () => this.follow());
  }

  private get words(): Words {
    return WORDS[this.view.language];
  }

  private get network(): Network {
    return this.networks.find(({ name }) => name === this.view.network) ?? this.networks[0];
  }

  /** What the chosen network computed: with the change, where there is one. */
  private get reading(): Reading | undefined {
    return this.changed ?? this.readings.get(this.network.name);
  }

  /** Change the view. What only moves in time is drawn in the next frame; the rest anew. */
  go(change: Partial<View>): void {
    const old = this.view;
    this.view = this.within({ ...old, ...change });
    const differs = (...names: (keyof View)[]) => names.some((name) => this.view[name] !== old[name]);
    const held = this.view.value !== null || old.value !== null;
    if (differs("text")) this.soon(() => this.read());
    else if (held && (differs("network", "gate", "value", "all") || (!this.view.all && differs("unit")))) this.soon(() => this.rerun());
    if (differs("network", "language", "theme", "gate", "value", "all")) this.paint();
    this.frame ||= requestAnimationFrame(() => this.draw());
    clearTimeout(this.linking);
    this.linking = window.setTimeout(() => history.replaceState(null, "", writeView(this.view)), PATIENCE);
  }

  private within(view: View): View {
    const network = this.networks.find(({ name }) => name === view.network) ?? this.networks[0];
    const steps = this.characters.length || Infinity;
    const gate = network.clampable.includes(view.gate) ? view.gate : network.clampable.includes("forget_gate") ? "forget_gate" : (network.clampable.at(-1) ?? "");
    return {
      ...view,
      network: network.name,
      gate,
      value: gate ? view.value : null,
      step: Math.max(0, Math.min(steps - 1, view.step)),
      unit: Math.max(0, Math.min(network.units - 1, view.unit)),
    };
  }

  private follow(): void {
    const next = readView(location.hash, this.view);
    find<HTMLTextAreaElement>("text").value = next.text;
    this.go(next);
  }

  private soon(run: () => Promise<void>): void {
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(run, 120);
  }

  /** Have every network read the text. */
  async read(): Promise<void> {
    const mine = ++this.asked;
    const { text } = this.view;
    await this.answer(mine, async () => {
      const readings = await Promise.all(this.networks.map(({ name }) => fetchReading(name, text, null)));
      if (mine !== this.asked) return;
      this.readings = new Map(readings.map((reading) => [reading.network, reading]));
      this.characters = [...text];
      this.changed = null;
      this.view = this.within(this.view);
      await this.rerun();
    });
  }

  /** Have the chosen network read the text once more, with the change. */
  async rerun(): Promise<void> {
    if (this.characters.join("") !== this.view.text) return this.read();
    const mine = ++this.asked;
    const { text, value, gate, unit, all } = this.within(this.view);
    await this.answer(mine, async () => {
      const clamp = value === null ? null : { gate, value, unit: all ? null : unit };
      const changed = clamp && (await fetchReading(this.network.name, text, clamp));
      if (mine !== this.asked) return;
      this.changed = changed;
      this.paint();
    });
  }

  private async answer(mine: number, run: () => Promise<void>): Promise<void> {
    const problem = find<HTMLElement>("problem");
    try {
      await run();
      if (mine === this.asked) problem.hidden = true;
    } catch (error) {
      if (mine !== this.asked) return;
      problem.textContent = error instanceof Error ? error.message : String(error);
      problem.hidden = false;
    }
  }

  /** Everything that does not depend on the moment. */
  paint(): void {
    const { words, network, reading } = this;
    const { theme, language } = this.view;
    document.documentElement.dataset.theme = theme;
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    this.say(words);
    if (!reading || reading.network !== network.name) return;
    this.strip.lay(this.characters.join(""));
    find("strip").setAttribute("aria-label", words.text);
    this.diagram.draw(network.name, words.diagram(network.name.toUpperCase()));
    this.arrange(network);
    for (const { name, map } of this.maps) {
      map.paint(reading.arrays[name], words.arrays[name], !name.endsWith("_gate"), theme);
    }
    this.comparison.paint(new Map(this.readings).set(network.name, reading), network.name, words, theme);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  private arrange(network: Network): void {
    const order = ["forget_gate", "reset_gate", "input_gate", "update_gate", "candidate", "output_gate", "cell", "hidden"];
    const names = order.filter((name) => network.gates.includes(name) || network.states.includes(name));
    if (this.maps.map(({ name }) => name).join() === names.join()) return;
    this.maps = names.map((name) => ({ name, map: new HeatMap((step, unit) => this.go({ step, unit })) }));
    find("maps").replaceChildren(...this.maps.map(({ map }) => map.element));
  }

  /** What depends on the moment and the unit: all that a scrub redraws. */
  private draw(): void {
    this.frame = 0;
    const { reading, words, network, characters } = this;
    if (!reading || reading.network !== network.name) return;
    const start = performance.now();
    const { step, unit, theme } = this.view = this.within(this.view);
    const ledger = ledgerOf(reading, step, unit);
    const plain = this.readings.get(network.name)!;
    this.strip.mark(ledger?.written ?? null, step, theme);
    this.diagram.fill(reading, step, unit, visible(characters[step], words), theme);
    this.prediction.fill(reading, plain, [...network.vocabulary], step, characters[step + 1], words);
    this.ledger.fill(ledger, characters, network.states.includes("cell") ? "cₜ" : "hₜ", theme, words);
    for (const { map } of this.maps) map.point(step, unit);
    this.comparison.point(new Map(this.readings).set(network.name, reading), step, unit, words);
    const slider = find<HTMLInputElement>("step");
    slider.max = String(characters.length - 1);
    slider.value = String(step);
    find("moment").textContent = words.moment(step, characters.length, visible(characters[step], words));
    find<HTMLInputElement>("unit").value = String(unit);
    performance.clearMeasures("redraw"); // whoever observes has seen the last one
    performance.measure("redraw", { start });
  }

  /** Words and the state of the controls. */
  private say(words: Words): void {
    const { view, network } = this;
    document.querySelectorAll<HTMLElement>("[data-word]").forEach((element) => {
      element.textContent = words[element.dataset.word as "title"] as string;
    });
    document.querySelectorAll<HTMLElement>("[data-label]").forEach((element) => {
      element.setAttribute("aria-label", words[element.dataset.label as "title"]);
    });
    find("language").textContent = words.language;
    find("language").setAttribute("lang", view.language === "en" ? "zh-Hans" : "en");
    find("theme").textContent = view.theme === "dark" ? words.light : words.dark;
    find("play").textContent = this.playing ? words.pause : words.play;
    find("about").textContent = words.about(network.units, network.trained_on, network.bits_per_character?.toFixed(2) ?? "–");
    find("networks").querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.value === network.name)));
    find("change").classList.toggle("without", !network.clampable.length);
    const gates = network.clampable.map((name) => new Option(words.arrays[name], name, false, name === view.gate));
    find<HTMLSelectElement>("gate").replaceChildren(...gates);
    find<HTMLInputElement>("all").checked = view.all;
    find<HTMLInputElement>("value").value = String(view.value ?? 0.5);
    find("held").textContent = view.value === null ? words.free : view.value.toFixed(2);
    find<HTMLButtonElement>("release").disabled = view.value === null;
    const plain = this.readings.get(network.name);
    const effect = this.changed && plain ? words.effect(plain.bits.toFixed(2), this.changed.bits.toFixed(2)) : words.unchanged;
    find("effect").textContent = network.clampable.length ? effect : words.noGate;
    for (const input of ["gate", "all", "value"]) find<HTMLInputElement>(input).disabled = !network.clampable.length;
    find<HTMLSelectElement>("passage").options[0].textContent = words.own;
    find("tour").replaceChildren(...words.tours.map((sentence, place) => this.suggestion(sentence, TOUR[place])));
  }

  private suggestion(sentence: string, view: Partial<View>): HTMLElement {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: this.words.show });
    button.setAttribute("aria-label", `${this.words.show}: ${sentence}`);
    button.addEventListener("click", () => this.go(view));
    item.append(`${sentence} `, button);
    return item;
  }

  private controls(): void {
    const on = (id: string, event: string, react: (element: HTMLInputElement) => void) =>
      find(id).addEventListener(event, () => react(find<HTMLInputElement>(id)));
    const passages = Object.entries(this.network.passages);
    find("passage").append(new Option("", ""), ...passages.map(([name, text]) => new Option(name, text, false, text === this.view.text)));
    const text = find<HTMLTextAreaElement>("text");
    text.maxLength = this.longest;
    text.value = this.view.text;
    on("text", "input", ({ value }) => value && this.go({ text: value }));
    on("passage", "change", ({ value }) => {
      if (!value) return text.focus();
      text.value = value;
      this.go({ text: value, step: 0 });
    });
    on("back", "click", () => this.go({ step: this.view.step - 1 }));
    on("forward", "click", () => this.go({ step: this.view.step + 1 }));
    on("play", "click", () => this.toggle());
    on("step", "input", ({ value }) => this.go({ step: Number(value) }));
    on("unit", "input", ({ value }) => value !== "" && this.go({ unit: Math.round(Number(value)) }));
    on("gate", "change", ({ value }) => this.go({ gate: value }));
    on("all", "change", ({ checked }) => this.go({ all: checked }));
    on("value", "input", ({ value }) => this.go({ value: Number(value) }));
    on("release", "click", () => this.go({ value: null }));
    on("language", "click", () => this.go({ language: this.view.language === "en" ? "zh" : "en" }));
    on("theme", "click", () => this.go({ theme: this.view.theme === "dark" ? "light" : "dark" }));
    for (const { name } of this.networks) {
      const button = Object.assign(document.createElement("button"), { type: "button", value: name, textContent: name.toUpperCase() });
      button.addEventListener("click", () => this.go({ network: name }));
      find("networks").append(button);
    }
  }

  private keyboard(): void {
    addEventListener("keydown", (event) => {
      const inside = event.target as HTMLElement;
      if (inside.matches("textarea, select, input") || event.ctrlKey || event.metaKey || event.altKey) return;
      const { step, unit } = this.view;
      const moves: Record<string, Partial<View>> = {
        ArrowLeft: { step: step - 1 },
        ArrowRight: { step: step + 1 },
        ArrowUp: { unit: unit - 1 },
        ArrowDown: { unit: unit + 1 },
        Home: { step: 0 },
        End: { step: this.characters.length - 1 },
      };
      if (moves[event.key]) this.go(moves[event.key]);
      else if (event.key === " " && !inside.matches("button")) this.toggle();
      else return;
      event.preventDefault();
    });
  }

  private toggle(): void {
    if (this.playing) clearInterval(this.playing);
    if (!this.playing && this.view.step === this.characters.length - 1) this.go({ step: 0 });
    this.playing = this.playing ? 0 : window.setInterval(() => this.tick(), 1000 / STEPS_PER_SECOND);
    this.say(this.words);
  }

  private tick(): void {
    if (this.view.step >= this.characters.length - 1) this.toggle();
    else this.go({ step: this.view.step + 1 });
  }
}

async function open(): Promise<void> {
  const { longest, networks } = await fetchNetworks();
  const chosen = networks.at(-1)!;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const view = readView(location.hash, {
    text: Object.values(chosen.passages)[0] ?? "The memory of a network.",
    network: chosen.name,
    step: 40,
    unit: 0,
    gate: "",
    value: null,
    all: false,
    language: navigator.language.startsWith("zh") ? "zh" : "en",
    theme: dark ? "dark" : "light",
  });
  const explorer = new Explorer(view, networks, longest);
  explorer.paint();
  await explorer.read();
}

await open();
