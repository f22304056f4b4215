/** The LaTeX that gated.cells.latex writes, as HTML or as plain text. */

const SIGNS: Record<string, string> = {
  sigma: "σ", odot: "⊙", tanh: "tanh", exp: "exp", max: "max", min: "min", log: "log",
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", zeta: "ζ", eta: "η", theta: "θ", kappa: "κ", lambda: "λ", mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", tau: "τ", phi: "φ", chi: "χ", psi: "ψ", omega: "ω",
  le: "≤", leq: "≤", ",": " ", _: "_", "\\": " ",
};
const FUNCTIONS = ["sigma", "tanh", "exp", "max", "min", "log", "odot", "le", "leq"];

const escaped = (text: string) => text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]!);

/** Reads one line from the left; what it does not know it writes as it stands. */
class Line {
  private place = 0;

  constructor(private readonly text: string) {}

  /** Up to the end, or the bracket that closes a group. */
  group(): string {
    let html = "";
    while (this.place < this.text.length && this.text[this.place] !== "}") {
      const sign = this.text[this.place];
      if (sign === "_" || sign === "^") {
        this.place++;
        html += sign === "_" ? `<sub>${this.one()}</sub>` : `<sup>${this.one()}</sup>`;
      } else html += this.one();
    }
    return html;
  }

  /** A group in brackets, a command with what it is of, or a sign. */
  private one(): string {
    const sign = this.text[this.place++] ?? "";
    if (sign === "{") {
      const html = this.group();
      this.place++;
      return html;
    }
    if (sign === "\\") return this.command(/^([A-Za-z]+|.)?/.exec(this.text.slice(this.place))![0]);
    if (sign === "-") return "−";
    return /[\p{L}]/u.test(sign) ? `<i>${escaped(sign)}</i>` : escaped(sign);
  }

  private command(name: string): string {
    this.place += name.length;
    if (name === "mathrm" || name === "operatorname") return this.one().replace(/<\/?i>/g, "");
    if (name === "tilde") return `${this.one()}\u0303`.replace(/<\/i>\u0303$/, "\u0303</i>");
    if (name === "frac") return `(${this.one()}) / (${this.one()})`;
    const sign = Object.hasOwn(SIGNS, name) ? SIGNS[name] : name;
    return FUNCTIONS.includes(name) || sign === " " || sign === "_" ? sign : `<i>${escaped(sign)}</i>`;
  }
}

/** HTML that holds nothing but letters, signs, italics and indices, whatever the line is. */
export function htmlOf(latex: string): string {
  return new Line(latex).group();
}

/** A symbol of a gate or state as plain text. */
export function textOf(latex: string): string {
  return htmlOf(latex).replace(/<[^>]*>/g, "").replaceAll("&amp;", "&").replaceAll("&lt;", "<").replaceAll("&gt;", ">");
}
