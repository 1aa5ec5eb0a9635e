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
    this.bubble.classList.add("past");
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
   * Stand there as after these actions, without performing them.
   * @param {Array<{type: string, value: string, outcome?: string}>} actions
   */
  settle(actions) {
    for (const action of actions) if ((action.outcome ?? "done") === "done") this.act(action);
    this.robot.hurry();
    this.bubble.classList.add("past");
  }

  #speak(text) {
    const before = this.bubble.classList.contains("past") ? "" : this.bubble.textContent;
    this.bubble.textContent = [before, text].filter(Boolean).join(" ").slice(-LONGEST_SPEECH);
    this.bubble.hidden = false;
    this.bubble.classList.remove("past");
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
