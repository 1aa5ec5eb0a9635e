/** The drawn robot: it plays one move after the other, and shows one face. */

import { draw } from "./dom.js";
import { FACES, faceOf } from "./faces.js";
import { eased, FEET, MOVES, moveOf, RESTS, STAND, UNKNOWN } from "./moves.js";

const BODY_Y = -92;
const HIP = { x: 52, y: 14 };
const NECK = { x: 56, y: -14 };
const HEAD = { x: 26, y: -52 }; // from the neck
const TAIL = { x: -66, y: -12 };
const BONE = 43; // two of them are a leg
const MIX_S = 0.28; // from one move into the next
const MOVE_S = 0.9; // for a move while another one waits
const ALL_S = 4; // for all that wait: many are played faster
const MOST_WAITING = 24;
const BLINK_MS = 4200;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A robot in an SVG element. */
export class Robot {
  /**
   * Draw it, standing.
   * @param {SVGElement} svg empty; gets `data-move`, `data-pose`, `data-emotion`, `data-face`
   * @param {(words: string, isKnown: boolean) => void} show told what it does, when it begins
   */
  constructor(svg, show) {
    this.svg = svg;
    this.show = show;
    this.parts = build(svg);
    this.name = "the robot";
    this.reset();
    setInterval(() => this.#blink(), BLINK_MS);
  }

  /**
   * Forget all it did, and stand.
   * @param {string} [name] of the robot, from now on
   */
  reset(name = this.name) {
    this.name = name;
    this.waiting = [];
    this.facing = 1;
    this.road = 0;
    this.rest = "stand";
    this.pose = { ...STAND, facing: 1, road: 0 };
    clearTimeout(this.timer);
    this.timer = null;
    Object.assign(this.svg.dataset, { move: "", pose: "stand", emotion: "", face: "" });
    this.#setFace("neutral");
    this.#settle();
    this.#label();
  }

  /** What it does, and what waits, is past: the next move begins at once. */
  interrupt() {
    this.waiting = [];
    this.isStale = true;
  }

  /**
   * Make a move: now, or after those that wait.
   * @param {string} value the robot's own word for it
   * @param {string} [sign] what to show where the word is not known, or known to be no move
   * @param {boolean} [isMove] whether the words may be read as a move
   */
  move(value, sign = value, isMove = true) {
    const known = isMove ? moveOf(value) : null;
    if (this.waiting.length === MOST_WAITING) this.waiting.shift();
    this.waiting.push({ value, known, sign });
    if (this.timer === null || this.isStale) this.#next();
  }

  /**
   * Show a feeling at once.
   * @param {string} value the robot's own word for it
   * @returns {boolean} whether there is a face for it
   */
  feel(value) {
    const face = faceOf(value);
    this.svg.dataset.emotion = value;
    this.#setFace(face ?? "neutral");
    this.#label();
    if (this.timer === null) this.#settle();
    return face !== null;
  }

  /** Skip to the end of what it does, such as after a reload. */
  hurry() {
    if (this.waiting.length) this.#begin(this.waiting.pop());
    this.waiting = [];
    this.#end();
    this.pose = this.from = this.#goal(0);
  }

  /**
   * Do not show a move, or end it where it is under way.
   * @param {string} value
   */
  skip(value) {
    this.waiting = this.waiting.filter((each) => each.value !== value);
    if (this.timer !== null && this.svg.dataset.move === value) this.#next();
  }

  #next() {
    clearTimeout(this.timer);
    this.isStale = false;
    const move = this.waiting.shift();
    if (!move) {
      this.#end();
      return;
    }
    this.#begin(move);
    const { length = MOVE_S } = MOVES[this.playing];
    const left = this.waiting.length;
    const seconds = left ? Math.min(MOVE_S, ALL_S / left) : length;
    this.timer = setTimeout(() => this.#next(), 1000 * seconds);
  }

  #begin({ value, known, sign }) {
    this.playing = known ?? UNKNOWN;
    this.rest = MOVES[this.playing].rest ?? (known ? "stand" : this.rest);
    Object.assign(this.svg.dataset, { move: value, pose: known ?? "unknown" });
    this.show(sign, known !== null);
    this.#label();
    const { at } = MOVES[this.playing];
    const base = known ? {} : RESTS[this.rest]; // a nod while it sits
    this.#mixInto((t) => ({ ...base, ...at(t, this.from.facing) }));
  }

  #end() {
    clearTimeout(this.timer);
    this.timer = null;
    this.#settle();
  }

  #settle() {
    this.playing = null;
    this.#mixInto(() => RESTS[this.rest]);
  }

  /** Follow a pose from now on, beginning with the one that is shown. */
  #mixInto(at) {
    this.from = { ...this.pose, facing: this.pose.facing < 0 ? -1 : 1, roll: 0 };
    this.at = at;
    this.since = performance.now();
    if (!this.frame) this.#draw();
  }

  #draw() {
    const t = (performance.now() - this.since) / 1000;
    this.pose = calm.matches ? this.#goal(MOVES[this.playing]?.still ?? 0.7) : this.#mixed(t);
    this.#paint();
    const isMoving = !calm.matches && (this.playing || t < MIX_S);
    this.frame = isMoving ? requestAnimationFrame(() => this.#draw()) : null;
  }

  #goal(t) {
    const { road = 0, ...pose } = this.at(t);
    const { facing } = this.from;
    const goal = { ...STAND, facing, ...pose, road: this.from.road + facing * road };
    for (const [part, more] of Object.entries(this.face.posture ?? {})) goal[part] += more;
    return goal;
  }

  #mixed(t) {
    const goal = this.#goal(t);
    const part = eased(t / MIX_S);
    for (const key of Object.keys(STAND)) goal[key] = this.from[key] + (goal[key] - this.from[key]) * part;
    return goal;
  }

  #paint() {
    const { pose, parts } = this;
    const turned = turn(pose.pitch);
    const body = { x: pose.x, y: BODY_Y + pose.y };
    const at = (point) => add(body, turned(point));
    const neck = at(NECK);
    const head = add(neck, { x: HEAD.x + pose.headX, y: HEAD.y + pose.headY });
    const tail = at(TAIL);
    const roll = `rotate(${pose.roll} ${body.x} ${body.y})`;
    parts.all.setAttribute("transform", `scale(${pose.facing.toFixed(3)} 1) ${roll}`);
    parts.body.setAttribute("transform", `translate(${body.x} ${body.y}) rotate(${pose.pitch})`);
    parts.neck.setAttribute("d", `M${neck.x - 6} ${neck.y + 8}L${head.x} ${head.y}`);
    parts.head.setAttribute("transform", `translate(${head.x} ${head.y}) rotate(${pose.tilt})`);
    const wag = pose.pitch / 2 + pose.tail;
    parts.tail.setAttribute("transform", `translate(${tail.x} ${tail.y}) rotate(${wag})`);
    for (const foot of FEET) this.#paintLeg(foot, at);
    const height = Math.max(0, -pose.y);
    parts.shadow.setAttribute("rx", 104 - height * 0.5);
    parts.shadow.setAttribute("cx", pose.x * pose.facing);
    parts.road.setAttribute("stroke-dashoffset", pose.road.toFixed(1));
    parts.mark.setAttribute("x", pose.facing < 0 ? -head.x - 86 : head.x + 86);
    parts.mark.setAttribute("y", head.y - 8);
  }

  #paintLeg(foot, at) {
    const { pose } = this;
    const isFront = foot.startsWith("front");
    const side = isFront ? 1 : -1;
    const far = foot.endsWith("Far") ? 9 : 0;
    const hip = at({ x: side * HIP.x + far, y: HIP.y });
    const wish = { x: side * HIP.x + far + pose[`${foot}X`], y: -7 + pose[`${foot}Y`] };
    const { knee, end } = leg(hip, wish, isFront ? -1 : 1);
    const { edge, bones, paw } = this.parts[foot];
    const path = `M${hip.x} ${hip.y}L${knee.x} ${knee.y}L${end.x} ${end.y}`;
    edge.setAttribute("d", path);
    bones.setAttribute("d", path);
    paw.setAttribute("cx", end.x + 4);
    paw.setAttribute("cy", end.y);
  }

  #setFace(name) {
    const face = FACES[name];
    this.face = face;
    this.svg.dataset.face = name;
    this.parts.eyes.setAttribute("d", face.eyes ?? "");
    this.parts.eyeLines.setAttribute("d", face.eyeLines ?? "");
    this.parts.fill.setAttribute("d", face.fill ?? "");
    this.parts.line.setAttribute("d", face.line ?? "");
    this.parts.mark.textContent = face.mark ?? "";
  }

  #blink() {
    if (calm.matches || document.hidden) return;
    this.svg.classList.add("blinks");
    setTimeout(() => this.svg.classList.remove("blinks"), 130);
  }

  #label() {
    const { move, emotion } = this.svg.dataset;
    const words = [move || "stands", emotion].filter(Boolean).join(", ");
    this.svg.setAttribute("aria-label", `${this.name}: ${words}`.slice(0, 200));
  }
}

function build(svg) {
  const parts = {};
  const keep = (name, tag, attributes, ...children) => (parts[name] = draw(tag, attributes, ...children));
  const legOf = (foot) => {
    const edge = draw("path", { class: "bones edge" });
    const bones = draw("path", { class: "bones" });
    const paw = draw("ellipse", { class: "paw", rx: 13, ry: 7.5 });
    parts[foot] = { edge, bones, paw };
    return draw("g", { class: foot.endsWith("Far") ? "leg far" : "leg" }, edge, bones, paw);
  };
  svg.replaceChildren(
    keep("road", "path", { class: "road", d: "M-190 9H190" }),
    keep("shadow", "ellipse", { class: "shadow", cy: 2, rx: 104, ry: 7 }),
    keep("all", "g", {},
      keep("tail", "g", {},
        draw("path", { class: "tail", d: "M0 0Q-26 -8 -30 -38" }),
        draw("circle", { class: "accent", cx: -30, cy: -40, r: 7 })),
      legOf("hindFar"), legOf("frontFar"),
      keep("body", "g", {},
        draw("rect", { class: "shell", x: -78, y: -31, width: 156, height: 62, rx: 31 }),
        draw("path", { class: "shade", d: "M-74 12q6 19 27 19h94q21 0 27 -19q-10 8 -27 8h-94q-17 0 -27 -8z" }),
        draw("path", { class: "seam", d: "M-22 -31v62" }),
        draw("circle", { class: "lamp", cx: -2, cy: -6, r: 6 }),
        draw("path", { class: "vents", d: "M-54 -10h16M-54 -2h16M-54 6h16" })),
      legOf("hindNear"), legOf("frontNear"),
      keep("neck", "path", { class: "neck" }),
      keep("head", "g", {},
        draw("path", { class: "ear", d: "M-44 -26c-14 -6 -22 -30 -10 -38c14 2 22 14 24 28z" }),
        draw("path", { class: "ear", d: "M44 -26c14 -6 22 -30 10 -38c-14 2 -22 14 -24 28z" }),
        draw("rect", { class: "shell", x: -56, y: -44, width: 112, height: 86, rx: 32 }),
        draw("rect", { class: "screen", x: -45, y: -32, width: 90, height: 62, rx: 22 }),
        draw("g", { class: "face" },
          draw("g", { class: "eyes" },
            keep("eyes", "path", { class: "fill" }),
            keep("eyeLines", "path", { class: "line" })),
          keep("fill", "path", { class: "fill" }),
          keep("line", "path", { class: "line" })))),
    keep("mark", "text", { class: "mark", "text-anchor": "middle" }),
  );
  return parts;
}

function add(one, other) {
  return { x: one.x + other.x, y: one.y + other.y };
}

function turn(degrees) {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return ({ x, y }) => ({ x: x * cos - y * sin, y: x * sin + y * cos });
}

/** Where the knee is, and the foot: as near to the wish as the leg reaches. */
function leg(hip, wish, bend) {
  const [dx, dy] = [wish.x - hip.x, wish.y - hip.y];
  const distance = Math.hypot(dx, dy) || 1;
  const reach = Math.min(distance, 2 * BONE - 0.5);
  const unit = { x: dx / distance, y: dy / distance };
  const side = bend * Math.sqrt(BONE ** 2 - (reach / 2) ** 2);
  return {
    knee: {
      x: hip.x + (unit.x * reach) / 2 + unit.y * side,
      y: hip.y + (unit.y * reach) / 2 - unit.x * side,
    },
    end: { x: hip.x + unit.x * reach, y: hip.y + unit.y * reach },
  };
}
