/** Opens the page: what there is, and the view that the address or a first visit asks for. */
import { Explorer } from "./explorer";
import { fetchExhibit, type Exhibit } from "./server";
import "./style.css";
import { readView, type View } from "./view";

function firstView(exhibit: Exhibit): View {
  const series = exhibit.kind === "series" ? exhibit.series[0].moments.length : 0;
  return {
    text: exhibit.kind === "text" ? (Object.values(exhibit.passages)[0] ?? "The memory of a network.") : "",
    series: 0,
    moment: Math.floor(series / 2),
    network: exhibit.networks.at(-1)!.name,
    step: exhibit.kind === "series" ? exhibit.history : 40,
    unit: 0,
    gate: "",
    value: null,
    all: false,
    span: "all",
    first: 0,
    last: 0,
    tour: null,
    language: navigator.language.startsWith("zh") ? "zh" : "en",
    theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  };
}

const exhibit = await fetchExhibit();
const explorer = new Explorer(readView(location.hash, firstView(exhibit)), exhibit);
explorer.paint();
await explorer.ask();
// Whoever comes for the first time, and not by a link, is shown around.
if (!location.hash && !localStorage.getItem("toured")) explorer.visit(0, false);
