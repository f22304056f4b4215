import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vite";

const page = "../../src/gated/serve/explorer";
const sources = [
  "index.html",
  "package-lock.json",
  "package.json",
  "tsconfig.json",
  "vite.config.mjs",
  ...readdirSync("src").map((name) => `src/${name}`),
].sort();

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** Writes build.json: digests of what the page was built from and of what came out. */
const provenance = {
  name: "provenance",
  closeBundle() {
    const listed = sources.map((name) => `${name} ${sha256(readFileSync(name))}\n`).join("");
    const built = readdirSync(page).filter((name) => name !== "build.json").sort();
    const files = Object.fromEntries(built.map((name) => [name, sha256(readFileSync(join(page, name)))]));
    const document = { sources: sha256(listed), files };
    writeFileSync(join(page, "build.json"), JSON.stringify(document, null, 2) + "\n");
  },
};

/** A plain script, and what there is to see in another: pages that are opened as files may load no module. */
const plainScripts = {
  name: "plain-scripts",
  transformIndexHtml: {
    order: "post",
    handler: (html, { bundle }) =>
      (bundle ? html.replace(/ crossorigin/g, "").replace('type="module"', "defer") : html)
        .replace("<script", '<script src="./exhibit.js"></script>\n    <script'),
  },
};

export default defineConfig({
  base: "./",
  plugins: [plainScripts, provenance],
  build: {
    outDir: page,
    emptyOutDir: true,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: { format: "iife", entryFileNames: "explorer.js", assetFileNames: "explorer[extname]" },
    },
  },
  server: { proxy: { "^/(api|networks|exhibit.js)": "http://127.0.0.1:8765" } },
});
