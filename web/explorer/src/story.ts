/** The section of the story: its picture, its words, and what moves through it. */
import type { Theme } from "./colours";
import { find } from "./controls";
import { LAST, pictureAt, type Mark, type Values } from "./story_picture";
import { STORY } from "./story_words";

/** Milliseconds from a station to the next, and that a station stays while the story plays. */
const TRAVEL = 2600;
const STAY = 6500;

/** What of the page the last station shows. */
export interface Live {
  values: Values;
  moment: string;
  unit: number;
}

const SVG = "http://www.w3.org/2000/svg";
const ELEMENTS: Record<Mark["kind"], string> = { area: "path", line: "path", head: "path", node: "g", box: "g", text: "text" };

/** Keeps the elements of a picture, and changes what differs. */
class Paper {
  private readonly elements = new Map<string, { element: SVGElement; inner: SVGElement[]; said: Map<string, string> }>();

  constructor(private readonly svg: SVGSVGElement) {}

  draw(marks: Mark[]): void {
    for (const mark of marks) this.mark(mark);
  }

  private mark(mark: Mark): void {
    const kept = this.elements.get(mark.id) ?? this.make(mark);
    const { element, inner } = kept;
    const set = (target: SVGElement, name: string, value: string, key = name) => {
      if (kept.said.get(key) === value) return;
      kept.said.set(key, value);
      target.setAttribute(name, value);
    };
    const hidden = mark.opacity < 0.005;
    set(element, "display", hidden ? "none" : "inline");
    if (hidden) return;
    set(element, "opacity", mark.opacity.toFixed(3));
    if (mark.path !== undefined) set(element, "d", mark.path);
    if (mark.kind === "line") {
      set(element, "stroke", mark.colour);
      set(element, "stroke-width", mark.width!.toFixed(2));
    } else if (mark.kind !== "text") set(element, "color", mark.colour);
    if (mark.at) set(element, "transform", `translate(${mark.at[0].toFixed(2)} ${mark.at[1].toFixed(2)})`);
    const [shape, tint, label] = inner;
    if (mark.half) {
      const [right, down] = mark.half;
      const round: [string, number][] = [["rx", right], ["ry", down]];
      const square: [string, number][] = [["x", -right], ["y", -down], ["width", 2 * right], ["height", 2 * down]];
      for (const [place, target] of [shape, tint].entries()) {
        for (const [name, value] of mark.kind === "box" ? square : round) set(target, name, value.toFixed(2), `${name}${place}`);
      }
    }
    const named = mark.kind === "text" ? element : label;
    const words = mark.kind === "text" ? inner : [];
    if (named && mark.label !== undefined) {
      const text = words[0] ?? named;
      if (kept.said.get("label") !== mark.label) text.textContent = mark.label;
      kept.said.set("label", mark.label);
      if (mark.labelled !== undefined) set(named, "opacity", mark.labelled.toFixed(3), "labelled");
    }
    if (mark.kind === "text") set(element, "text-anchor", mark.anchor ?? "start");
    if (words[1]) {
      const value = mark.valued ? (mark.value ?? "") : "";
      if (kept.said.get("value") !== value) words[1].textContent = value;
      kept.said.set("value", value);
      set(words[1], "opacity", (mark.valued ?? 0).toFixed(3), "valued");
    }
  }

  private make(mark: Mark) {
    const create = (name: string, parent: SVGElement, className = "") => {
      const made = document.createElementNS(SVG, name);
      if (className) made.setAttribute("class", className);
      return parent.appendChild(made);
    };
    const element = create(ELEMENTS[mark.kind], this.svg, `mark ${mark.kind}${mark.symbol ? " symbolic" : ""}`);
    element.dataset.part = mark.part;
    element.dataset.mark = mark.id;
    const shape = mark.kind === "box" ? "rect" : "ellipse";
    const inner =
      mark.kind === "node" || mark.kind === "box"
        ? [create(shape, element, "paper"), create(shape, element, "tint"), ...(mark.label === undefined ? [] : [create("text", element)])]
        : mark.kind === "text"
          ? [create("tspan", element), ...(mark.value === undefined ? [] : [create("tspan", element, "value")])]
          : [];
    if (mark.kind === "box") for (const rectangle of inner.slice(0, 2)) rectangle.setAttribute("rx", "4");
    if (mark.value !== undefined) inner[1].setAttribute("dx", "6");
    const kept = { element, inner, said: new Map<string, string>() };
    this.elements.set(mark.id, kept);
    return kept;
  }
}

export class Story {
  private readonly paper = new Paper(find<SVGSVGElement>("story-picture"));
  private readonly slider = find<HTMLInputElement>("story-time");
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private t: number | null = null;
  private language: "en" | "zh" = "en";
  private theme: Theme = "light";
  private live: Live | null = null;
  /** Where it moves to, and whether it plays on from there. */
  private goal: number | null = null;
  private playing = false;
  private frame = 0;
  private staying = 0;
  private last = 0;

  constructor(
    closed: AbortSignal,
    /** The story has come to rest at a time, or was hidden. */
    private readonly rest: (t: number | null) => void,
    toCell: () => void,
  ) {
    const on = (id: string, react: () => void) => find(id).addEventListener("click", react);
    on("story-toggle", () => {
      this.show(this.t === null ? 0 : null);
      this.rest(this.t);
    });
    on("story-play", () => this.toggle());
    on("story-back", () => this.move(-1));
    on("story-on", () => this.move(1));
    on("story-to-cell", toCell);
    this.slider.addEventListener("input", () => {
      this.stop();
      this.at(Number(this.slider.value));
    });
    this.slider.addEventListener("change", () => this.rest(this.t));
    find<HTMLElement>("story").addEventListener("keydown", (event) => this.press(event));
    this.still.addEventListener("change", () => this.at(this.t), { signal: closed });
    closed.addEventListener("abort", () => this.stop());
  }

  /** Show the story at a time, or hide it. */
  show(t: number | null): void {
    if (t !== this.t) this.stop();
    this.at(t);
    this.say();
  }

  /** Words, colours, and what the last station shows. */
  paint(language: "en" | "zh", theme: Theme, live: Live | null): void {
    this.language = language;
    this.theme = theme;
    this.fill(live);
    this.say();
  }

  fill(live: Live | null): void {
    this.live = live;
    if (this.t === null) return;
    this.draw();
    this.tell();
  }

  private get station(): number {
    return Math.round(this.t ?? 0);
  }

  private at(t: number | null): void {
    this.t = t === null ? null : this.still.matches ? Math.round(t) : t;
    if (this.t === null) return;
    this.slider.value = String(this.t);
    this.draw();
    this.tell();
  }

  private draw(): void {
    const start = performance.now();
    this.paper.draw(pictureAt(this.t!, this.theme, STORY[this.language].captions, this.live?.values));
    performance.clearMeasures("story");
    performance.measure("story", { start });
  }

  /** The sentences of the station that is nearest. */
  private tell(): void {
    const { station, live } = this;
    const words = STORY[this.language];
    const { title, told } = words.stations[station];
    const said = station < LAST ? told : `${told} ${live ? words.live(live.moment, live.unit) : words.noLive}`;
    const put = (id: string, text: string) => {
      if (find(id).textContent !== text) find(id).textContent = text;
    };
    put("story-station", title);
    put("story-told", told);
    put("story-live", said.slice(told.length + 1));
    put("story-place", words.place(station + 1, LAST + 1));
    this.slider.step = this.still.matches ? "1" : "0.01";
    this.slider.setAttribute("aria-valuetext", `${words.place(station + 1, LAST + 1)}${words.colon}${title}`);
    find("story-picture").setAttribute("aria-label", title);
    find<HTMLElement>("story-to-cell").hidden = station < LAST;
    find<HTMLButtonElement>("story-back").disabled = this.t === 0;
    find<HTMLButtonElement>("story-on").disabled = this.t === LAST;
  }

  /** Words that stay. */
  private say(): void {
    const words = STORY[this.language];
    const shown = this.t !== null;
    find<HTMLElement>("story-body").hidden = !shown;
    find("story-toggle").setAttribute("aria-expanded", String(shown));
    find("story-toggle").textContent = shown ? words.hide : words.show;
    find("story-title").textContent = words.title;
    find("story-about").textContent = words.about;
    find("story-play").textContent = this.playing ? words.pause : words.play;
    find("story-to-cell").textContent = words.toCell;
    find("story-back").setAttribute("aria-label", words.back);
    find("story-on").setAttribute("aria-label", words.on);
    this.slider.setAttribute("aria-label", words.slider);
    if (shown) this.tell();
  }

  private press(event: KeyboardEvent): void {
    if (this.t === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = event.target as HTMLElement;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => this.move(-1),
      ArrowRight: () => this.move(1),
      Home: () => this.travel(0),
      End: () => this.travel(LAST),
    };
    if (moves[event.key]) moves[event.key]();
    else if (event.key === " " && !inside.matches("button")) this.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation(); // here keys move the story, not the moment
  }

  /** Go to the station before or after. */
  private move(by: 1 | -1): void {
    const from = this.goal ?? this.t!;
    this.travel(by > 0 ? Math.floor(from + 1 + 1e-6) : Math.ceil(from - 1 - 1e-6));
  }

  private travel(goal: number, playing = false): void {
    this.stop(playing);
    this.goal = Math.max(0, Math.min(LAST, goal));
    if (this.still.matches) return this.arrive();
    this.last = 0;
    this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  private tick(now: number): void {
    // A frame that came late does not let the picture jump.
    const passed = Math.min(50, this.last ? now - this.last : 16);
    this.last = now;
    const left = this.goal! - this.t!;
    const step = (passed / TRAVEL) * Math.max(1, Math.abs(left));
    if (Math.abs(left) <= step) return this.arrive();
    this.at(this.t! + Math.sign(left) * step);
    this.frame = requestAnimationFrame((later) => this.tick(later));
  }

  private arrive(): void {
    this.at(this.goal);
    this.goal = null;
    this.frame = 0;
    this.rest(this.t);
    if (!this.playing) return;
    if (this.t === LAST) {
      this.stop();
      this.say();
    } else this.staying = window.setTimeout(() => this.travel(Math.floor(this.t!) + 1, true), STAY);
  }

  private toggle(): void {
    if (this.playing) {
      this.stop();
      this.rest(this.t);
    } else {
      if (this.t === LAST) this.at(0);
      this.travel(Math.floor(this.t!) + 1, true);
    }
    this.say();
  }

  private stop(playing = false): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.staying);
    this.frame = 0;
    this.goal = null;
    if (this.playing === playing) return;
    this.playing = playing;
    find("story-play").textContent = STORY[this.language][playing ? "pause" : "play"];
  }
}
