/** The brains: which one thinks, who is in it, and how they do. */

import { byId, make } from "./dom.js";
import { post } from "./stream.js";

const STATES = { closed: "standing by", open: "left alone", "half-open": "being tried" };

/** The switch `#brain`, and the list `#members` of who is in the chosen brain. */
export class Brains {
  constructor() {
    this.select = byId("brain");
    this.note = byId("brain-note");
    this.brains = [];
    this.brain = "";
    this.answered = null;
    this.select.addEventListener("change", () => this.#choose());
  }

  /**
   * Show these brains.
   * @param {Object[]} brains as in the events
   * @param {string} brain the name of the chosen one
   * @param {boolean} [isNew] whether all that was shown before is void
   */
  show(brains, brain, isNew = false) {
    if (isNew) this.answered = null;
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
   * Mark who has answered last.
   * @param {string} provider
   * @param {string} model
   */
  answer(provider, model) {
    if (!provider) return;
    this.answered = { provider, model };
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
    const last = this.#last(members);
    byId("members").replaceChildren(...members.map((each) => memberOf(each, each === last, this.isConnected)));
  }

  /** Who has answered last; a server may call its model otherwise, which matters where two are alike. */
  #last(members) {
    const alike = members.filter((each) => each.name === this.answered?.provider);
    const exact = alike.find((each) => each.model === this.answered.model);
    return exact ?? (alike.length === 1 ? alike[0] : null);
  }
}

function memberOf({ name, model, state }, isLast, isConnected) {
  const words = isLast && state === "closed" ? "answered last" : STATES[state] ?? state;
  const data = { "data-member": name, "data-state": isConnected ? state : "", "data-answered": isLast };
  return make("li", { class: "member", ...data },
    make("span", { class: "dot", "aria-hidden": "true" }),
    make("span", { class: "member-who" },
      make("span", { class: "member-name" }, name), make("span", { class: "member-model" }, model ?? "")),
    make("span", { class: "member-state" }, isConnected ? words : "unknown"));
}

function optionOf({ name }) {
  return make("option", { value: name }, name);
}
