/** Ties the page together: one view, one reading a network, and a redraw for each moment. */
import { BoxPanel } from "./box";
import { claimsOf, type Claims } from "./claims";
import { Comparison } from "./comparison";
import { Controls, find } from "./controls";
import { roleColours } from "./colours";
import { definitionOf } from "./definitions";
import { CellDiagram } from "./diagram";
import { wireValues } from "./diagrams";
import { allowed, limitsOf, MOST_EDITS, numberOf, readEdits, shownAs, valueOf, withEdit, writeEdits } from "./edits";
import { EditsPanel } from "./edits_panel";
import { FolderError } from "./folder_error";
import { HeatMap } from "./heatmap";
import { ledgerOf } from "./ledger";
import { askedBy, oddRange, refused, type Notice } from "./notices";
import { LedgerPanel } from "./panels";
import { nameOf, shownOf, symbolIn } from "./own_cells";
import { Ribbon } from "./ribbon";
import type { Scene, Shown } from "./scene";
import { SecondText } from "./second";
import { SeriesScene } from "./series";
import type { Readers } from "./readers";
import type { Edit, Exhibit, Network, Passage, Place, Reading } from "./reading";
import { SimilarPanel } from "./similar";
import { bringUp, makeRoom, SECTIONS, soughtBy } from "./sight";
import { Story, type Live } from "./story";
import { TextScene } from "./text";
import { keeping, stopsOf, TourCard, type Stop } from "./tour";
import { rememberTour } from "./visits";
import { Training } from "./training";
import { clampOf, editsOf, partsOf, readView, TEXTS, writeView, type Part, type View } from "./view";
import { wordsFor, type Words } from "./words";

const STEPS_PER_SECOND = 8;
const PATIENCE = 250;
/** Parts of the view that are places in a list. */
const WHOLE = ["series", "moment", "step", "unit", "first", "last"] as const;
/** Milliseconds without a move before the moment is read out. */
const REST = 600;
const ORDER = ["forget_gate", "reset_gate", "input_gate", "update_gate", "candidate", "output_gate", "cell", "hidden"];

/** What the page as a whole can do. */
export interface Doors {
  /** Show another exhibit, as a link asks for it. */
  leave: (exhibit: string, hash: string, view: View) => void;
  /** Open the folder of a run. */
  open: (view: View) => void;
}

export class Explorer {
  readonly stops;
  private readonly scene: Scene;
  private readonly controls: Controls;
  private readonly tour: TourCard;
  private readonly diagram = new CellDiagram(find("diagram"), find("equations"), (gate) => this.openBox(gate));
  private readonly box = new BoxPanel(find("box"), () => this.openBox(this.view.box), (place, typed) => this.change(place, typed));
  private readonly edits = new EditsPanel(find("edits"), (change) => this.go(change), () => document.querySelector<HTMLElement>(".equation")?.focus());
  private readonly ribbon = new Ribbon(find("ribbon"), find("curves"), (step) => this.go({ step }));
  private readonly ledger = new LedgerPanel(find("ledger"), find("sum"));
  private readonly comparison: Comparison;
  private readonly similar: SimilarPanel;
  private readonly second: SecondText | null;
  private readonly training: Training;
  private readonly story: Story;
  private maps: { name: string; map: HeatMap }[] = [];
  private readings = new Map<string, Reading>();
  private changed: Reading | null = null;
  /** What was changed of the network that is shown. */
  private edited: Edit[] = [];
  /** What the readings are of, and how long it is; the view may be ahead of them. */
  private read = "";
  private steps = 0;
  private asked = 0;
  private answering = 0;
  private waiting = 0;
  private frame = 0;
  private playing = 0;
  private linking = 0;
  private speaking = 0;
  /** By part of the view, what was asked for and is not shown. */
  private readonly refusals = new Map<Part, Notice>();
  private strange: string[] = [];
  /** Of a place that a link asks for, and there is not. */
  private nowhere: Notice[] = [];
  private problem: Notice | null = null;
  /** The step that a link asked for, until it is known how many there are. */
  private linkedStep: string | null = null;
  /** What the tour claims, and of which stop and passage. */
  private claims: Claims | Error | null = null;
  private claimed = "";
  /** Whether the tour is to be brought into sight, and its stop to show what it computes. */
  private turning = false;
  private posing = false;
  /** The link whose place is to be brought into sight. */
  private sought = location.hash;

  private readonly closing = new AbortController();

  constructor(
    private view: View,
    private readonly exhibit: Exhibit,
    private readonly exhibits: Exhibit[],
    private readonly readers: Readers,
    private readonly doors: Doors,
  ) {
    const go = (change: Partial<View>, typed = false) => this.go(change, typed);
    this.scene =
      exhibit.kind === "text"
        ? new TextScene(find("strip"), find("prediction"), find("text"), find("passage"), exhibit, go)
        : new SeriesScene(find("strip"), find("prediction"), find("series"), find("origin"), find("from"), find("legend"), exhibit, (series, moment) => readers.momentOf(series, moment), go);
    const glance = this.scene.glance.bind(this.scene);
    this.comparison = new Comparison(find("comparison"), find("reach"), find("no-reach"), find("shrinks"), exhibit.networks, (network, step, unit) => this.go({ network, step, unit }), glance, (network) => this.scene.unknown(network));
    const { signal } = this.closing;
    this.controls = new Controls(exhibit, exhibits, signal, () => ({ ...this.view, steps: this.steps }), go, () => this.toggle());
    this.training = new Training(signal);
    this.second = exhibit.kind === "text" ? new SecondText(find("second"), exhibit.longest, () => this.view, go) : null;
    this.similar = new SimilarPanel(find("similar"), this.scene, (step) => this.go({ step }), () => ({ reading: this.reading, network: this.network, step: Math.min(this.steps - 1, this.view.step), words: this.words }));
    this.story = new Story(signal, (story) => this.go({ story }), () => this.toCell());
    this.stops = stopsOf(exhibit);
    this.tour = new TourCard(this.stops, exhibit, (stop) => this.visit(stop), signal);
    this.view = this.within(this.atStop(view, location.hash));
    this.story.show(this.view.story);
    this.check(location.hash);
    find("guide").addEventListener("click", () => this.visit(this.view.tour === null ? 0 : null));
    find("exhibit").addEventListener("change", () => doors.leave(find<HTMLSelectElement>("exhibit").value, "", this.view));
    find("open").addEventListener("click", () => doors.open(this.view));
    addEventListener("resize", () => this.fit(), { signal });
    const stuck = new ResizeObserver(() => makeRoom());
    stuck.observe(document.querySelector(".transport")!);
    signal.addEventListener("abort", () => stuck.disconnect());
    // The address may have been written since to that of the former view.
    addEventListener("hashchange", ({ newURL }) => this.follow(new URL(newURL).hash), { signal });
  }

  /** Stop all that goes on by itself. */
  close(): void {
    this.closing.abort();
    this.asked += 1;
    clearInterval(this.playing);
    clearTimeout(this.waiting);
    clearTimeout(this.linking);
    clearTimeout(this.speaking);
    cancelAnimationFrame(this.frame);
  }

  report(error: unknown): void {
    const { message } = error instanceof Error ? error : new Error(String(error));
    this.problem = error instanceof FolderError ? error.told : () => message;
    this.tellProblem();
  }

  /** What went wrong last, in the language of the page. */
  private tellProblem(): void {
    const element = find<HTMLElement>("problem");
    const told = this.problem?.(this.words) ?? "";
    if (element.textContent !== told) element.textContent = told;
    element.hidden = !told;
  }

  private get words(): Words {
    return wordsFor(this.exhibit.kind, this.view.language);
  }

  private get network(): Network {
    return this.named(this.view.network);
  }

  /** What the chosen network computed: with the change, where there is one. */
  private get reading(): Reading | undefined {
    return this.changed ?? this.readings.get(this.network.name);
  }

  /** The same, where it is of the chosen network and not of the one before. */
  private get ownReading(): Reading | undefined {
    return this.reading?.network === this.network.name ? this.reading : undefined;
  }

  private named(name: string): Network {
    const { networks } = this.exhibit;
    return networks.find((network) => network.name === name) ?? networks.at(-1)!;
  }

  /** Change the view. What only moves in time is drawn in the next frame; the rest anew. */
  go(change: Partial<View>, typed = false): void {
    const old = this.view;
    // A place is a whole number: where another one is typed, what was shown stays.
    const broken = WHOLE.filter((part) => change[part] !== undefined && !Number.isInteger(change[part]));
    this.view = this.within({ ...old, ...change, ...Object.fromEntries(broken.map((part) => [part, old[part]])) });
    for (const part of Object.keys(change) as Part[]) {
      this.refusals.delete(part);
      if (typed) this.compare(part, String(change[part]));
    }
    if (typed) this.notice();
    const differs = (...names: (keyof View)[]) => names.some((name) => this.view[name] !== old[name]);
    if (differs("text", "other", "series", "moment")) this.soon(() => this.ask());
    else if (JSON.stringify(clampOf(this.view)) !== JSON.stringify(clampOf(old)) || differs("edits")) this.soon(() => this.ask());
    else if (differs("network") && (this.view.value !== null || this.view.edits)) this.soon(() => this.ask());
    if (differs("network", "language", "theme", "box", "gate", "value", "all", "span", "first", "last", "edits", "other", "series", "moment", "tour")) this.paint();
    this.frame ||= requestAnimationFrame(() => this.draw());
    // While the page plays too, so that the address stays that of the page.
    this.linking ||= window.setTimeout(() => {
      this.linking = 0;
      history.replaceState(null, "", writeView(this.view, this.exhibit.kind));
    }, PATIENCE);
  }

  private within(view: View): View {
    const network = this.named(view.network);
    const gate = network.clampable.includes(view.gate) ? view.gate : keeping(network);
    const inside = (step: number) => Math.max(0, Math.min((this.steps || Infinity) - 1, step));
    // A passage that has not been read yet may be longer than the last one.
    const known = this.read === JSON.stringify(this.scene.passage(view));
    return {
      ...this.scene.within(this.second?.within(view) ?? { ...view, other: "" }),
      exhibit: this.exhibit.name,
      network: network.name,
      box: network.gates.includes(view.box) ? view.box : "",
      gate,
      value: gate ? view.value : null,
      step: known ? inside(view.step) : Math.max(0, view.step),
      unit: Math.max(0, Math.min(network.units - 1, Math.round(view.unit))),
      first: Math.max(0, Math.round(view.first)),
      last: Math.max(0, Math.round(view.last)),
      edits: view.edits ? writeEdits(readEdits(view.edits, this.exhibit.networks)) : "",
      tour: view.tour === null ? null : Math.min(view.tour, this.stops.length - 1),
    };
  }

  /** Go to a stop of the tour, or end it; `turned` brings it into sight. */
  visit(stop: number | null, turned = true): void {
    rememberTour();
    if (stop !== null && this.playing) this.toggle();
    [this.turning, this.posing] = [turned, true];
    const view = stop === null ? {} : this.posed(this.view, this.stops[stop]);
    this.go({ ...view, tour: stop });
    [this.turning, this.posing] = [false, false];
    this.tour.show(stop, this.view, this.words, this.claims, this.keeps(), turned);
    if (stop === null) find<HTMLElement>("guide").focus();
  }

  /** A view as a stop shows it; a text of the reader's own is kept until a stop has room for it. */
  private posed(view: View, stop: Stop): View {
    this.scene.keep(view);
    const text = stop.name === "yours" ? this.scene.kept(view) || view.text : view.text;
    // What a stop computes stands while it is shown.
    const known = this.view.tour !== null && this.stops[this.view.tour] === stop && !(this.claims instanceof Error) ? this.claims?.view : {};
    return { ...view, text, ...stop.view, ...known };
  }

  private keeps(): boolean {
    return this.scene.kept(this.view) !== "";
  }

  /** What a link shows that names a stop of the tour, and no step: the view of that stop. */
  private atStop(view: View, hash: string): View {
    const stop = view.tour === null || new URLSearchParams(hash.slice(1)).has("step") ? undefined : this.stops[Math.min(view.tour, this.stops.length - 1)];
    this.posing = stop !== undefined;
    return stop ? this.posed(view, stop) : view;
  }

  /** Draw for another size of the window. */
  private fit(): void {
    makeRoom();
    this.paint();
    this.tour.stay();
  }

  private follow(hash: string): void {
    const view = this.atStop(readView(hash, this.view), hash);
    this.sought = hash;
    if (view.exhibit !== this.exhibit.name && this.exhibits.some(({ name }) => name === view.exhibit)) {
      return this.doors.leave(view.exhibit, hash, view);
    }
    this.go(view);
    this.posing = false;
    this.story.show(this.view.story);
    this.check(hash);
    this.notice();
    this.tellBusy();
  }

  /** Note what a link asks for that there is not. */
  private check(hash: string): void {
    const { parts, strange, at } = askedBy(hash, this.exhibit);
    this.strange = strange;
    this.nowhere = at !== null && !SECTIONS.includes(at) ? [(words) => words.absent(words.section, at, SECTIONS.join(", "), "")] : [];
    this.refusals.clear();
    this.linkedStep = null;
    for (const [part, asked] of parts) {
      if (part === "step") this.linkedStep = asked;
      else this.compare(part, asked);
    }
    this.settleStep();
  }

  private settleStep(): void {
    if (this.linkedStep === null || this.read !== JSON.stringify(this.scene.passage(this.view))) return;
    this.compare("step", this.linkedStep);
    this.linkedStep = null;
  }

  private compare(part: Part, asked: string): void {
    if (!partsOf(this.exhibit.kind).includes(part)) return;
    const notice = refused(part, asked, this.view, this.exhibit, this.exhibits, this.network, this.stops.length, this.steps);
    if (notice) this.refusals.set(part, notice);
  }

  private notice(): void {
    const { words, view, exhibit, refusals, strange, steps } = this;
    const parts = [exhibit.kind === "text" ? TEXTS : [], partsOf(exhibit.kind), "at"].flat().join(", ");
    const all = [...refusals.values(), ...this.nowhere, ...oddRange(view, steps), ...this.scene.notices(this.network, this.ownReading)].map((notice) => notice(words));
    this.controls.notice([...strange.map((name) => words.strange(name, parts)), ...all]);
  }

  /** Compute what the tour claims at its stop, of the passage that is shown there. */
  private learn(): void {
    const { tour } = this.view;
    const stop = tour === null ? null : this.stops[tour];
    const passage = this.scene.passage({ ...this.view, text: stop?.view.text ?? this.view.text });
    const key = JSON.stringify([tour, stop && passage]);
    if (key === this.claimed) return;
    [this.claimed, this.claims] = [key, null];
    const { turning, posing } = this;
    [this.turning, this.posing] = [false, false];
    if (!stop) return;
    this.answering += 1;
    this.tellBusy();
    claimsOf(stop, this.exhibit, passage, this.readers)
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      .then((claims) => {
        this.answering -= 1;
        this.tellBusy();
        if (key !== this.claimed) return;
        this.claims = claims;
        if (posing && !(claims instanceof Error) && claims.view) this.go(claims.view);
        this.tour.show(this.view.tour, this.view, this.words, claims, this.keeps(), turning);
      });
  }

  private soon(run: () => Promise<void>): void {
    clearTimeout(this.waiting);
    this.waiting = window.setTimeout(() => {
      this.waiting = 0;
      void run();
    }, 120);
    this.tellBusy();
  }

  /** Have every network read the passage, the chosen one first, with the change where there is one. */
  async ask(): Promise<void> {
    const mine = ++this.asked;
    const wanted = () => mine === this.asked;
    const passage = this.scene.passage(this.view);
    await this.answer(mine, async () => {
      const { name } = this.network;
      const clamp = clampOf(this.view);
      const plain = await this.readers.read(name, passage, null);
      const edits = editsOf(this.view, this.network, this.exhibit.networks);
      const changed = clamp || edits.length ? await this.readers.read(name, passage, clamp, edits) : null;
      const { other } = this.view;
      const second = other ? await this.readers.read(name, { ...passage, text: other }, clamp, edits) : null;
      await this.second?.take(changed ?? plain, second, [passage.text, other], wanted);
      if (!wanted()) return;
      if (this.read !== JSON.stringify(passage)) this.take(passage, plain);
      this.readings.set(name, plain);
      this.changed = changed;
      this.paint();
      for (const { name } of this.exhibit.networks) {
        const reading = await this.readers.read(name, passage, null);
        if (!wanted()) return;
        this.readings.set(name, reading);
      }
      this.paint();
      for (const reading of [...this.readings.values(), ...(changed ? [changed] : [])]) await this.readers.withGradient(reading, wanted);
      if (wanted()) this.compareNetworks();
    });
  }

  private take(passage: Passage, reading: Reading): void {
    this.readings = new Map();
    this.steps = this.scene.take(passage, reading);
    this.read = JSON.stringify(passage);
    this.view = this.within(this.view);
    this.settleStep();
  }

  private async answer(mine: number, run: () => Promise<void>): Promise<void> {
    this.answering += 1;
    this.tellBusy();
    try {
      await run();
      if (mine !== this.asked) return;
      this.problem = null;
      this.tellProblem();
    } catch (error) {
      if (mine === this.asked) this.report(error);
    } finally {
      this.answering -= 1;
      this.tellBusy();
    }
  }

  /** Whether what is shown is still that of an older view, for who cannot see it change. */
  private tellBusy(): void {
    const busy = this.waiting > 0 || this.answering > 0;
    document.body.ariaBusy = String(busy);
    if (busy || !this.sought) return;
    const hash = this.sought;
    this.sought = "";
    // What was computed last is drawn in the next frame.
    requestAnimationFrame(() => bringUp(soughtBy(hash)));
  }

  /** Everything that does not depend on the moment. */
  paint(): void {
    const { words, network, reading, view } = this;
    const { theme, language } = view;
    document.documentElement.dataset.theme = theme;
    for (const [role, colour] of roleColours(theme)) document.documentElement.style.setProperty(`--${role}`, colour);
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    this.controls.say(view, network, words, this.playing !== 0);
    this.training.paint(words, theme);
    this.story.paint(language, theme, this.live());
    this.scene.say(view, words);
    find("effect").textContent = this.effect(network, words);
    this.edited = editsOf(view, network, this.exhibit.networks);
    this.edits.paint(this.edited, readEdits(view.edits, this.exhibit.networks), this.exhibit.networks, this.readings.get(network.name), this.changed, words);
    this.learn();
    this.tellProblem();
    this.tour.show(view.tour, view, words, this.claims, this.keeps(), false);
    this.notice();
    this.diagram.keepLit((view.tour !== null && this.stops[view.tour].wires) || []);
    if (!reading || reading.network !== network.name) return;
    this.diagram.draw(network, words);
    this.diagram.mark(view.box);
    this.arrange(network);
    this.scene.paint(this.shown(reading));
    for (const { name, map } of this.maps) {
      map.paint(reading.arrays[name], nameOf(network, name, words), !network.clampable.includes(name), theme);
    }
    this.similar.paint(reading, words);
    this.second?.paint(view, network, words);
    this.compareNetworks();
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** The numbers of the LSTM at this moment, for the end of the story. */
  private live(): Live | null {
    const { view, steps, words } = this;
    const lstm = this.network.cell === "lstm" ? this.network : this.exhibit.networks.find(({ cell }) => cell === "lstm");
    const reading = lstm === this.network ? this.reading : lstm && this.readings.get(lstm.name);
    if (!lstm || !reading || reading.network !== lstm.name || !steps) return null;
    const step = Math.min(steps - 1, view.step);
    const unit = Math.min(lstm.units - 1, view.unit);
    const wires = wireValues("lstm", reading, step, unit);
    return { values: { wires, input: this.scene.input(step, lstm, words) }, moment: words.moment(step, steps, this.scene.name(step, words)), unit };
  }

  /** Go on from the story to the cell of the page, at the same numbers. */
  private toCell(): void {
    const lstm = this.exhibit.networks.find(({ cell }) => cell === "lstm");
    if (lstm && this.network.cell !== "lstm") this.go({ network: lstm.name });
    const title = find<HTMLElement>("cell-title");
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
    bringUp(title.closest("section"));
  }

  private compareNetworks(): void {
    const { reading, network, words } = this;
    const shown = new Map(this.readings);
    if (reading?.network === network.name) shown.set(network.name, reading);
    this.comparison.paint(shown, network.name, words, this.view.theme);
  }

  private shown(reading: Reading): Shown {
    const { network, words } = this;
    return { reading, plain: this.readings.get(network.name)!, network, words, theme: this.view.theme };
  }

  private effect(network: Network, words: Words): string {
    if (!network.clampable.length) return network.definition ? words.noHeldGate : words.noGate;
    const plain = this.readings.get(network.name);
    return this.changed && plain ? words.effect(plain.score, this.changed.score, plain.credit) : words.unchanged;
  }

  private arrange(network: Network): void {
    const names = network.definition ? shownOf(network.definition) : ORDER.filter((name) => network.gates.includes(name) || network.states.includes(name));
    if (this.maps.map(({ name }) => name).join() === names.join()) return;
    this.maps = names.map((name) => ({ name, map: new HeatMap((step, unit) => this.go({ step, unit })) }));
    find("maps").replaceChildren(...this.maps.map(({ map }) => map.element));
  }

  /** What depends on the moment and the unit: all that a scrub redraws. */
  private draw(): void {
    this.frame = 0;
    const { reading, words, network, scene, steps } = this;
    if (!reading || reading.network !== network.name) return;
    const start = performance.now();
    const { view } = this;
    const { theme } = view;
    const step = Math.min(steps - 1, this.view.step);
    const unit = this.view.unit;
    const ledger = ledgerOf(definitionOf(network), reading, step, unit);
    const writer = (k: number) => (ledger?.set === k ? words.byHand(k) : scene.writer(k, words));
    const name = scene.name(step, words);
    const clamp = this.changed && clampOf(this.view);
    const held: [number, number] | null = clamp && [clamp.first, Math.min(steps - 1, clamp.last ?? steps - 1)];
    scene.draw({ ...this.shown(reading), step, ledger, held });
    this.diagram.fill(reading, step, unit, scene.input(step, network, words), theme);
    this.box.fill(reading, network, this.exhibit.networks, this.view.box, step, unit, this.edited, theme, words);
    this.ribbon.draw(reading, network, scene.letters(), ledger, step, unit, theme);
    this.ledger.fill(ledger, writer, this.memorySymbol(network), theme, network.definition ? { ...words, noLedger: words.noSum } : words);
    for (const { map } of this.maps) map.point(step, unit);
    this.second?.draw(reading, network, step, unit, theme);
    this.comparison.point(new Map(this.readings).set(network.name, reading), step, unit, words);
    this.tour.point(view);
    if (view.story !== null) this.story.fill(this.live());
    this.controls.point(step, steps, unit, words.moment(step, steps, name));
    this.speak();
    performance.clearMeasures("redraw"); // whoever observes has seen the last one
    performance.measure("redraw", { start });
  }

  private memorySymbol({ definition, states }: Network): string {
    return definition ? `${symbolIn(definition, definition.memory?.state ?? states[0])}ₜ` : states.includes("cell") ? "cₜ" : "hₜ";
  }

  /** Change a number of the network; answers in words where it cannot be. */
  private change(place: Place, typed: string): string | null {
    const { words, network, exhibit } = this;
    const plain = this.readings.get(network.name);
    const owner = this.named(place.network);
    const value = numberOf(typed);
    if (value === null) return words.noNumber(typed);
    const limits = limitsOf(place, owner);
    if (!allowed(value, limits)) return words.outside(place.gate === "hidden" && !owner.definition, typed, ...(limits.map((limit) => String(limit).replace("-", "−")) as [string, string]));
    const old = plain ? valueOf(plain, place) : null;
    const same = old !== null && shownAs(place.kind, old) === shownAs(place.kind, value) && numberOf(shownAs(place.kind, value)) === value;
    const edits = withEdit(readEdits(this.view.edits, exhibit.networks), place, same ? null : value);
    if (edits.length > MOST_EDITS) return words.tooManyEdits(MOST_EDITS);
    this.go({ edits: writeEdits(edits) });
    return null;
  }

  /** Open a gate, or close it, and keep the keys where they were. */
  private openBox(gate: string): void {
    const closing = this.view.box === gate;
    const place = [...document.querySelectorAll<HTMLElement>(".equation")].find((button) => button.getAttribute("aria-expanded") === "true");
    this.go({ box: closing ? "" : gate });
    if (closing) place?.focus({ preventScroll: true });
  }

  /** Read out the moment and the prediction, once whoever moves has come to rest. */
  private speak(): void {
    clearTimeout(this.speaking);
    if (this.playing) return;
    this.speaking = window.setTimeout(() => {
      const { reading, network, words, steps, view, scene } = this;
      if (!reading || reading.network !== network.name) return;
      const step = Math.min(steps - 1, view.step);
      find("spoken").textContent = words.spoken(words.moment(step, steps, scene.name(step, words)), view.unit, find("curves").textContent ?? "", scene.glance(reading, network, step, words));
    }, REST);
  }

  private toggle(): void {
    if (this.playing) clearInterval(this.playing);
    if (!this.playing && this.view.step >= this.steps - 1) this.go({ step: 0 });
    this.playing = this.playing ? 0 : window.setInterval(() => this.tick(), 1000 / STEPS_PER_SECOND);
    this.controls.say(this.view, this.network, this.words, this.playing !== 0);
  }

  private tick(): void {
    if (this.view.step >= this.steps - 1) this.toggle();
    else this.go({ step: this.view.step + 1 });
  }
}
