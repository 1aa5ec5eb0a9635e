/** The list of past ticks, newest first. */

import { arrange, byId, clock, counted, duration, make, shortened } from "./dom.js";

const TONES = { done: "good", refused: "warn", failed: "bad" };
const SIGNS = { good: "✓", warn: "!", bad: "✕", plain: "" };
const MOST_CHIPS = 6;
const LONGEST_CHIP = 80;

/** Shows ticks in `#history`; a click on one chooses it. */
export class History {
  /**
   * @param {(tick: Object) => void} choose told the tick that was clicked
   * @param {() => void} askOlder called when older ones are wanted
   */
  constructor(choose, askOlder) {
    this.list = byId("history");
    this.choose = choose;
    this.items = new WeakMap(); // tick -> element
    byId("older").addEventListener("click", askOlder);
  }

  /**
   * Show these ticks.
   * @param {Object[]} ticks oldest first
   * @param {?Object} chosen the one that the timeline shows
   * @param {{hasOlder: boolean, offers: boolean}} more whether there are older ones, and to offer them
   */
  show(ticks, chosen, { hasOlder, offers }) {
    const items = ticks.toReversed().map((tick) => this.#item(tick));
    arrange(this.list, items);
    this.list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    if (chosen) this.items.get(chosen)?.firstChild.setAttribute("aria-current", "true");
    byId("history-empty").hidden = ticks.length > 0;
    const count = hasOlder ? `newest ${ticks.length}` : counted(ticks.length, "tick");
    byId("past-count").textContent = ticks.length ? count : "";
    byId("older").hidden = !offers;
  }

  /**
   * Show a tick that has changed as it is now.
   * @param {Object} tick
   */
  update(tick) {
    const item = this.items.get(tick);
    if (item) this.#fill(item, tick);
  }

  #item(tick) {
    let item = this.items.get(tick);
    if (!item) {
      item = make("li", {}, make("button", { type: "button", class: "past-tick" }));
      item.firstChild.addEventListener("click", () => this.choose(tick));
      this.items.set(tick, item);
      this.#fill(item, tick);
    }
    return item;
  }

  #fill(item, tick) {
    const { id, at, sensed, provider, total_s, first_action_s, error, reason } = tick;
    const time = first_action_s === null ? duration(total_s) : duration(first_action_s);
    const trouble = [];
    if (reason) trouble.push(chip("warn", `idle: ${reason.split(":")[0].replaceAll("_", " ")}`, reason));
    if (error) trouble.push(chip("bad", error.kind.replaceAll("_", " ")));
    item.dataset.tick = id ?? "";
    item.firstChild.replaceChildren(
      make("span", { class: "past-meta" },
        make("time", { datetime: at, title: at }, clock(at)),
        make("span", { class: "past-who" }, provider || (error ? "no answer" : "nobody")),
        make("span", { class: "past-ms", title: first_action_s === null ? "in all" : "first action" }, time)),
      make("span", { class: "past-sensed", dir: "auto" }, sensed),
      make("span", { class: "chips" }, ...chipsOf(tick), ...trouble),
    );
  }
}

function chipsOf({ actions, more = 0 }) {
  const shown = actions.slice(0, MOST_CHIPS).map(({ value, type, outcome }) => {
    const words = shortened(value || type, LONGEST_CHIP);
    return chip(TONES[outcome], outcome === "done" ? words : `${words} ${outcome}`, type);
  });
  const left = actions.length - shown.length + more;
  return left ? [...shown, chip("plain", `+${left}`)] : shown;
}

function chip(tone, words, title = "") {
  return make("span", { class: "chip", "data-tone": tone, title },
    make("span", { class: "chip-sign", "aria-hidden": "true" }, SIGNS[tone]),
    make("span", { dir: "auto" }, words));
}
