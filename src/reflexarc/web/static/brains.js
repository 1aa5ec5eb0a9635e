/** The brains: which one thinks, who is in it, and how they do. */

import { byId, make } from "./dom.js";
import { post } from "./stream.js";

const STATES = { closed: "standing by", failed: "failed last", open: "left alone", "half-open": "being tried" };
const UNDECIDED = new Set(["overtaken", "resting"]); // outcomes that tell nothing of how one does
const MOST_TRIES = 50; // that are kept

/** The switch `#brain`, and the list `#members` of who is in the chosen brain. */
export class Brains {
  constructor() {
    this.select = byId("brain");
    this.note = byId("brain-note");
    this.brains = [];
    this.brain = "";
    this.tries = []; // as attempts, oldest first
    this.select.addEventListener("change", () => this.#choose());
  }

  /**
   * Show these brains.
   * @param {Object[]} brains as in the events
   * @param {string} brain the name of the chosen one
   * @param {boolean} [isNew] whether all that was shown before is void
   */
  show(brains, brain, isNew = false) {
    if (isNew) this.tries = [];
    if (isNew || brain === this.brain) this.#say(isNew ? "" : this.note.textContent);
    else this.#say("asked from the next tick on");
    this.brains = brains;
    this.brain = brain;
    const names = brains.map((each) => each.name).join("\n");
    if (names !== this.names) this.select.replaceChildren(...brains.map(optionOf));
    this.names = names;
    this.select.value = brain;
    this.select.disabled = brains.length < 2;
    this.#list();
  }

  /** @param {boolean} isConnected whether what is shown is how things are */
  connected(isConnected) {
    this.isConnected = isConnected;
    this.#list();
  }

  /** A tick begins: the choice holds. */
  begin() {
    this.#say("");
  }

  /**
   * Learn from a tick who has failed, and who has answered.
   * @param {Object} tick that has ended
   */
  learn({ attempts, provider, model }) {
    const tries = attempts.filter(({ outcome }) => !UNDECIDED.has(outcome));
    if (provider) tries.push({ provider, model, outcome: "ok" });
    this.tries = [...this.tries, ...tries].slice(-MOST_TRIES);
    this.#list();
  }

  async #choose() {
    const { value } = this.select;
    this.#say("…");
    try {
      await post("brain", { brain: value });
      this.#say("asked from the next tick on");
    } catch (error) {
      this.select.value = this.brain;
      this.#say(error.message, true);
    }
  }

  #say(text, isTrouble = false) {
    this.note.textContent = text;
    this.note.classList.toggle("trouble", isTrouble);
  }

  #list() {
    const members = this.brains.find((each) => each.name === this.brain)?.members ?? [];
    const tries = this.tries.map((each) => ({ member: asked(members, each), isGood: each.outcome === "ok" }));
    const answered = tries.findLast(({ isGood }) => isGood)?.member;
    byId("members").replaceChildren(...members.map((member) => {
      const last = tries.findLast((each) => each.member === member);
      const isWell = member.state === "closed";
      const state = isWell && last && !last.isGood ? "failed" : member.state;
      return itemOf({ ...member, state }, isWell && last?.isGood && member === answered, this.isConnected);
    }));
  }
}

/** Whom a try was at; a server may call its model otherwise, which matters where two are alike. */
function asked(members, { provider, model }) {
  const alike = members.filter((each) => each.name === provider);
  return alike.find((each) => each.model === model) ?? (alike.length === 1 ? alike[0] : null);
}

function itemOf({ name, model, state }, hasAnswered, isConnected) {
  const words = hasAnswered ? "answered last" : STATES[state] ?? state;
  const data = { "data-member": name, "data-state": isConnected ? state : "", "data-answered": Boolean(hasAnswered) };
  return make("li", { class: "member", ...data },
    make("span", { class: "dot", "aria-hidden": "true" }),
    make("span", { class: "member-who" },
      make("span", { class: "member-name" }, name), make("span", { class: "member-model" }, model ?? "")),
    make("span", { class: "member-state" }, isConnected ? words : "unknown"));
}

function optionOf({ name }) {
  return make("option", { value: name }, name);
}
