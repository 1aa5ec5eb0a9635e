/** The stage: the robot performs what it was told, says it, and a sign names it. */

import { byId, shortened } from "./dom.js";
import { isFeeling } from "./faces.js";
import { Robot } from "./robot.js";

const LONGEST_SIGN = 60;
const LONGEST_SPEECH = 2000;

/** What is seen of a robot: `#robot`, `#bubble` and `#sign`. */
export class Stage {
  constructor() {
    this.bubble = byId("bubble");
    this.sign = byId("sign");
    this.robot = new Robot(byId("robot"), (words, isKnown) => this.#showSign(words, isKnown));
  }

  /**
   * Show a robot that has done nothing yet.
   * @param {{name: string, speech: ?string, actions: Object[]}} robot
   */
  reset({ name, speech, actions }) {
    this.speech = speech;
    this.specs = new Map(actions.map((spec) => [spec.type, spec]));
    this.robot.reset(name);
    this.bubble.hidden = true;
    this.bubble.textContent = "";
    this.#showSign("", true);
  }

  /** A tick begins: what was said and done before is past. */
  begin() {
    if (this.whyNot) this.#showSign("", true);
    this.robot.interrupt();
    this.bubble.classList.add("stale");
  }

  /**
   * A tick has ended: who has not spoken in it is silent, and why there was no move is told.
   * @param {Object} tick
   */
  end(tick) {
    if (this.bubble.classList.contains("stale")) this.bubble.hidden = true;
    this.#tellWhyNot(tick);
  }

  /**
   * Perform an action at once; a move, after those under way.
   * @param {{type: string, value: string}} action
   */
  act({ type, value }) {
    if (type === this.speech) this.#speak(value);
    else if (isFeeling(type)) this.#feel(type, value);
    else this.#move(type, value);
  }

  /**
   * An action could not be performed after all.
   * @param {{value: string}} action
   */
  fail({ value }) {
    this.robot.skip(value);
    this.#showSign(value, false, "not performed");
  }

  /**
   * Stand there as after this tick, without performing it.
   * @param {Object} tick
   */
  settle(tick) {
    for (const action of tick.actions) if (action.outcome === "done") this.act(action);
    this.robot.hurry();
    this.bubble.classList.add("stale");
    if (!tick.running) this.#tellWhyNot(tick);
  }

  #tellWhyNot({ actions, error }) {
    const moves = actions.filter(({ type }) => type !== this.speech && !isFeeling(type));
    if (moves.some(({ outcome }) => outcome === "done")) return;
    const refused = moves.find(({ outcome }) => outcome === "refused");
    if (refused) this.#showSign(refused.value, false, "refused");
    else if (error && !actions.length) this.#showSign("", false, "no answer");
  }

  #speak(text) {
    const before = this.bubble.classList.contains("stale") ? "" : this.bubble.textContent;
    this.bubble.textContent = [before, text].filter(Boolean).join(" ").slice(-LONGEST_SPEECH);
    this.bubble.hidden = false;
    this.bubble.classList.remove("stale");
    this.bubble.scrollTop = before ? this.bubble.scrollHeight : 0;
    this.bubble.tabIndex = this.bubble.scrollHeight > this.bubble.clientHeight ? 0 : -1;
  }

  #feel(type, value) {
    if (!this.robot.feel(value)) this.#showSign(`${type}: ${value}`, false);
  }

  #move(type, value) {
    const isNamedMove = /^mov/.test(type);
    const isChoice = this.specs.get(type)?.values !== null; // free text is no name of a move
    this.robot.move(value, isNamedMove ? value : `${type}: ${value}`, isNamedMove || isChoice);
  }

  #showSign(words, isKnown, whyNot = "") {
    this.whyNot = whyNot; // of the tick under way, or the last one
    this.sign.textContent = [shortened(words, LONGEST_SIGN), whyNot].filter(Boolean).join(": ");
    this.sign.classList.toggle("unknown", !isKnown);
  }
}
