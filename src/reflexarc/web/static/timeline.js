/** The timeline of one tick: what it did, in order, and when. */

import { arrange, byId, clock, counted, duration, make, write } from "./dom.js";
import { rowsOf } from "./rows.js";
import { lastMoment, LONGEST_TEXT } from "./tick.js";

const CLOCK_EVERY_MS = 100;
const SIGNS = { good: "✓", warn: "!", bad: "✕", plain: "" };
const KEPT_OPEN = new Set(); // the parts of prompts that the watcher has opened

/** Shows one tick at a time in `#timeline`. */
export class Timeline {
  /** @param {() => void} goLive called when the watcher wants the current tick again */
  constructor(goLive) {
    this.list = byId("timeline");
    this.rows = new Map(); // key -> element
    this.tick = null;
    byId("live").addEventListener("click", goLive);
    setInterval(() => this.#tellState(), CLOCK_EVERY_MS);
  }

  /**
   * Show a tick as it is now; soon, and once for all that is asked for until then.
   * @param {?Object} tick none shows that there is none
   * @param {boolean} isLive whether this is the current tick, not one that was chosen
   */
  show(tick, isLive) {
    this.tick = tick;
    this.isLive = isLive;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#render();
    });
  }

  /** @param {boolean} isConnected whether what is shown is how things are */
  connected(isConnected) {
    this.isConnected = isConnected;
    this.#tellState();
  }

  #render() {
    const { tick } = this;
    byId("live").hidden = this.isLive;
    byId("timeline-empty").hidden = tick !== null;
    byId("tick-title").textContent = titleOf(tick, this.isLive);
    this.list.dataset.tick = tick?.id ?? "";
    this.list.dataset.state = tick === null ? "empty" : tick.running ? "running" : "ended";
    this.#tellState();
    atEnd(this.list, () => this.#renderRows());
    if (tick !== this.rendered) this.list.scrollTop = 0;
    this.rendered = tick;
  }

  #renderRows() {
    const wanted = this.tick ? rowsOf(this.tick) : [];
    const scale_s = this.tick ? lastMoment(this.tick) : 0;
    const keys = new Set(wanted.map((row) => row.key));
    for (const key of this.rows.keys()) if (!keys.has(key)) this.rows.delete(key);
    for (const row of wanted) {
      if (!this.rows.has(row.key)) this.rows.set(row.key, newRow(row));
      fillRow(this.rows.get(row.key), row, scale_s);
    }
    arrange(this.list, wanted.map((row) => this.rows.get(row.key)));
  }

  #tellState() {
    const { tick } = this;
    const state = byId("tick-state");
    const seconds = ((performance.now() - tick?.since) / 1000).toFixed(1);
    const isThinking = Boolean(tick?.running) && this.isConnected;
    if (!tick) write(state, "");
    else if (isThinking) write(state, `thinking · ${seconds} s`);
    else write(state, tick.running ? "how it went on is not known" : clock(tick.at));
    state.classList.toggle("running", isThinking);
  }
}

function titleOf(tick, isLive) {
  if (!isLive) return "Past tick";
  return tick && !tick.running ? "Last tick" : "This tick";
}

function newRow({ text, parts, facts }) {
  const row = make("li", { class: "row" },
    make("span", { class: "row-time" }),
    make("span", { class: "row-sign", "aria-hidden": "true" }),
    make("p", { class: "row-head" },
      make("span", { class: "row-title" }),
      make("span", { class: "row-value", dir: "auto" }),
      make("span", { class: "row-note", dir: "auto" })),
    make("div", { class: "track", "aria-hidden": "true" }, make("span", { class: "track-bar" })));
  if (text !== undefined) row.append(scrolling("What the model writes", { class: "written" }));
  if (parts) row.append(foldable("parts"));
  if (facts) row.append(make("dl", { class: "facts" }));
  return row;
}

function fillRow(row, { kind, tone, title, value = "", note = "", ...rest }, scale_s) {
  const part = (name) => row.querySelector(name);
  const { text, parts, facts, at_s, from_s = at_s, to_s = at_s } = rest;
  Object.assign(row.dataset, { kind, tone });
  write(part(".row-time"), duration(at_s));
  write(part(".row-sign"), SIGNS[tone]);
  write(part(".row-title"), title);
  write(part(".row-value"), value);
  write(part(".row-note"), note);
  if (text !== undefined) atEnd(part(".written"), () => write(part(".written"), text.trim()));
  if (parts) fillParts(part(".parts > div"), parts);
  if (facts) part(".facts").replaceChildren(...facts.map(newFact));
  part(".track").hidden = at_s === undefined || !scale_s;
  if (part(".track").hidden) return;
  part(".track").style.setProperty("--from", percent(from_s, scale_s));
  part(".track").style.setProperty("--to", percent(to_s, scale_s));
}

function newFact({ name, fact }) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, fact));
}

function fillParts(box, parts) {
  const all = parts.reduce((sum, part) => sum + part.text.length, 0);
  if (box.children.length !== parts.length) box.replaceChildren(...parts.map(newPart));
  parts.forEach(({ name, of, text }, index) => {
    const element = box.children[index];
    const [label, size, bar] = element.querySelector("summary").children;
    write(label, name);
    write(size, [of, counted(text.length, "character")].filter(Boolean).join(" · "));
    bar.firstChild.style.setProperty("--to", percent(text.length, all));
    write(element.querySelector("pre"), text.slice(0, LONGEST_TEXT) || "(empty)");
  });
}

/** The parts of the prompt, folded until the watcher wants them; the choice holds for every tick. */
function foldable(name) {
  const box = make("details", { class: name }, make("summary", {}, "What it was told"), make("div", {}));
  box.open = KEPT_OPEN.has(name);
  box.addEventListener("toggle", () => (box.open ? KEPT_OPEN.add(name) : KEPT_OPEN.delete(name)));
  return box;
}

function newPart({ name }) {
  const details = make("details", { class: "part", "data-part": name },
    make("summary", {},
      make("span", { class: "part-name" }),
      make("span", { class: "part-size" }),
      make("span", { class: "part-bar", "aria-hidden": "true" }, make("span"))),
    scrolling(`The prompt's ${name}`));
  details.open = KEPT_OPEN.has(name);
  details.addEventListener("toggle", () => {
    if (details.open) KEPT_OPEN.add(name);
    else KEPT_OPEN.delete(name);
  });
  return details;
}

/** A text that may be long: it scrolls, also by keyboard. */
function scrolling(name, attributes = {}) {
  return make("pre", { tabindex: "0", role: "group", "aria-label": name, dir: "auto", ...attributes });
}

function percent(part, whole) {
  return `${whole ? Math.min(100, (100 * part) / whole) : 0}%`;
}

/** Let something grow, and stay at its end if the watcher is there. */
function atEnd(element, grow) {
  const isThere = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
  grow();
  if (isThere) element.scrollTop = element.scrollHeight;
}
