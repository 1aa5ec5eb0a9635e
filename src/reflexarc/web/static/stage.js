/** The stage: the robot performs what it was told, says it, and a sign names it. */

import { byId } from "./dom.js";
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
    this.robot.interrupt();
    this.bubble.classList.add("stale");
  }

  /**
   * A tick has ended: who has not spoken in it is silent, and what was refused instead of a move is told.
   * @param {Array<{type: string, value: string, outcome: string}>} actions
   */
  end(actions) {
    if (this.bubble.classList.contains("stale")) this.bubble.hidden = true;
    const moves = actions.filter(({ type }) => type !== this.speech && !isFeeling(type));
    const refused = moves.find(({ outcome }) => outcome === "refused");
    if (refused && moves.every(({ outcome }) => outcome !== "done")) this.#showSign(`${refused.value}: refused`, false);
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
    this.#showSign(`${value}: not performed`, false);
  }

  /**
   * Stand there as after these actions, without performing them.
   * @param {Array<{type: string, value: string, outcome?: string}>} actions
   */
  settle(actions) {
    for (const action of actions) if ((action.outcome ?? "done") === "done") this.act(action);
    this.robot.hurry();
    this.bubble.classList.add("stale");
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

  #showSign(words, isKnown) {
    this.sign.textContent = words.length > LONGEST_SIGN ? `${words.slice(0, LONGEST_SIGN)}…` : words;
    this.sign.classList.toggle("unknown", !isKnown);
  }
}
