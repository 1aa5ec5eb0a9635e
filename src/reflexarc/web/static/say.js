/** The box in which a person speaks to the robot. */

import { byId } from "./dom.js";
import { post } from "./stream.js";

const MOST_SENTENCES = 50;

/** The form `#say-form`: Enter sends, the arrows up and down bring own sentences back. */
export class SayBox {
  /** @param {() => void} said called when a sentence has been heard */
  constructor(said) {
    this.hasSaid = said;
    this.input = byId("say");
    this.error = byId("say-error");
    this.said = [];
    this.place = 0; // in `said`; one past its end is the draft
    this.draft = "";
    byId("say-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.input.addEventListener("keydown", (event) => this.#recall(event));
  }

  /**
   * Name whom one speaks to.
   * @param {string} robot
   */
  address(robot) {
    byId("say-label").textContent = `Say something to ${robot}`;
    this.input.placeholder = `Say something to ${robot}…`;
  }

  /** @param {string} words what is wrong; none if nothing */
  complain(words) {
    this.error.textContent = words;
  }

  async #send() {
    const text = this.input.value.trim();
    this.input.focus();
    if (!text || this.isSending) return;
    this.isSending = true;
    this.complain("");
    try {
      await post("say", { text });
      this.#remember(text);
      this.hasSaid();
      if (this.input.value.trim() === text) this.input.value = "";
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.isSending = false;
    }
  }

  #remember(text) {
    if (this.said.at(-1) !== text) this.said.push(text);
    if (this.said.length > MOST_SENTENCES) this.said.shift();
    this.place = this.said.length;
  }

  #recall(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const place = this.place + step;
    if (event.isComposing || !(place >= 0 && place <= this.said.length)) return;
    event.preventDefault();
    if (this.place === this.said.length) this.draft = this.input.value;
    this.place = place;
    this.input.value = this.said[place] ?? this.draft;
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }
}
