/** What was changed, each number with its old value, and the way back. */
import { editName } from "./edit_names";
import { keyOf, shownAs, valueOf, writeEdits } from "./edits";
import type { Edit, Network, Reading } from "./reading";
import type { View } from "./view";
import type { Words } from "./words";

export class EditsPanel {
  private readonly title = document.createElement("h3");
  private readonly list = document.createElement("ul");
  private readonly effect = document.createElement("p");
  private readonly all = document.createElement("button");
  private shown = "";

  constructor(private readonly panel: HTMLElement, private readonly go: (change: Partial<View>) => void, private readonly after: () => void) {
    this.title.tabIndex = -1;
    this.all.type = "button";
    this.all.id = "take-all-back";
    this.all.addEventListener("click", () => {
      go({ edits: "" });
      after();
    });
    panel.append(this.title, this.list, this.effect, this.all);
  }

  /** The edits of a network, with the numbers that `plain` has. */
  paint(edits: Edit[], everything: Edit[], networks: Network[], plain: Reading | undefined, changed: Reading | null, words: Words): void {
    this.panel.hidden = !edits.length;
    const key = JSON.stringify([edits, everything, plain?.network, words.editsTitle, plain?.score, changed?.score]);
    if (key === this.shown) return;
    this.shown = key;
    this.title.textContent = words.editsTitle;
    this.all.textContent = words.takeAllBack;
    this.effect.textContent = plain && changed ? words.effect(plain.score, changed.score, plain.credit) : "";
    this.list.replaceChildren(
      ...edits.map((edit) => {
        const name = editName(edit, networks, words);
        const before = plain ? valueOf(plain, edit) : null;
        const old = before === null ? "–" : shownAs(edit.kind, before);
        const item = document.createElement("li");
        const text = words.edited(name, old, String(edit.value).replace("-", "−"));
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: words.takeBack });
        button.setAttribute("aria-label", `${words.takeBack}${words.colon}${name}`);
        button.addEventListener("click", () => this.takeBack(edit, everything));
        item.append(Object.assign(document.createElement("span"), { textContent: text }), button);
        return item;
      }),
    );
  }

  private takeBack(edit: Edit, everything: Edit[]): void {
    this.go({ edits: writeEdits(everything.filter((other) => keyOf(other) !== keyOf(edit))) });
    if (this.panel.hidden) this.after();
    else this.title.focus();
  }
}
