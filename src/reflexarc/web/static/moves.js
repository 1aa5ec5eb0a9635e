/**
 * How the drawn robot moves: poses as functions of time.
 *
 * A pose is a flat object of numbers, so that any two can be mixed. Lengths are units of the
 * drawing, angles degrees, y grows downwards, and the robot looks to the right.
 */

/** Standing. Every pose names only what differs from it. */
export const STAND = Object.freeze({
  x: 0, y: 0, // of the body
  pitch: 0, // of the body; negative lifts the chest
  roll: 0, // of all of it
  headX: 0, headY: 0, tilt: 0,
  tail: 0,
  frontNearX: 0, frontNearY: 0, frontFarX: 0, frontFarY: 0, // of the feet
  hindNearX: 0, hindNearY: 0, hindFarX: 0, hindFarY: 0,
});

/** The feet, as they are named in a pose. */
export const FEET = ["frontNear", "frontFar", "hindNear", "hindFar"];

const SIT = { y: 34, pitch: -35, headX: 6, tail: -30, hindNearX: 30, hindFarX: 34 };
const LIE = {
  y: 58, headY: 4, tail: -12, frontNearX: 86, frontFarX: 88, hindNearX: 34, hindFarX: 42,
};

const REACH = { pitch: -8, headY: -4, frontNearX: 52, frontNearY: -52, tail: 10 };
const LOOK_UP = { pitch: -6, headY: -10, headX: -4, tilt: -8 };
const LOOK_DOWN = { pitch: 6, headY: 24, headX: 8, tilt: 8 };

/** The poses in which the robot stays after a move. */
export const RESTS = { stand: {}, sit: SIT, lie: LIE };

const WALKING =
  /\b(walk|go\b|goes\b|come|move|forwards?|step|follow|approach|drive|navigate|trot|march|advance)/;
const REACHING = /\b(reach|grab|grip|pick|point|touch|push|give)|^(open|close|take|hand)\b/;

/**
 * A move.
 * @typedef {Object} Move
 * @property {RegExp} words which values mean it
 * @property {number} [length] seconds it takes when nothing waits; 0.9 if absent
 * @property {keyof RESTS} [rest] how the robot stays after it; standing if absent
 * @property {number} [still] the second that shows it best, where motion is not wanted
 * @property {(t: number, facing: number) => Object} at the pose `t` seconds after its start;
 *   `facing` is 1 or -1 and may be part of the pose, as may `road`, the way gone
 */

/**
 * Every known move; the first one whose words are in a value is meant.
 * @type {Object<string, Move>}
 */
export const MOVES = {
  flip: { words: /\b(flip|back ?flip|somersault|roll)\b/, length: 1.1, still: 0.4, at: flip },
  no: { words: /\bshake (your |the )?head|\bno\b/, at: shakeHead },
  lookUp: { words: /\blook(s|ing)? up|\braise\b|\blift\b/, at: () => LOOK_UP },
  lookDown: { words: /\blook(s|ing)? down|\blower\b/, at: () => LOOK_DOWN },
  lookAround: { words: /\blook/, length: 1.8, still: 0.2, at: lookAround },
  sit: { words: /\bsit|\bseat|haunches/, rest: "sit", at: () => SIT },
  lie: { words: /\b(lie|lay|sleep|nap|rest)\b|\bdown\b/, rest: "lie", at: () => LIE },
  shakePaw: { words: /\bshake|\bpaws?\b|\bfive\b/, length: 1.5, rest: "sit", still: 0.5, at: shakePaw },
  wave: { words: /\bwav(e|ing)|\bgreet|\bhello|\bsalute/, length: 1.5, rest: "sit", still: 0.5, at: wave },
  dance: { words: /\bdanc|\btwist|\bwiggle|\bboogie/, length: 2.4, still: 0.3, at: dance },
  jump: { words: /\bjump|\bhop|\bleap|\bbounce/, still: 0.45, at: jump },
  spin: { words: /\bspin|\btwirl|\bcircle|\brotate|\bturn (a?round)/, length: 1.6, still: 0, at: spin },
  turnLeft: { words: /\bleft\b/, still: 0.9, at: turning(-1) },
  turnRight: { words: /\bright\b/, still: 0.9, at: turning(1) },
  wagTail: { words: /\bwag|\btail\b/, length: 1.6, still: 0.1, at: wagTail },
  stretch: { words: /\bstretch|\bbow\b|\byawn/, length: 1.5, at: stretch },
  crawl: { words: /\bcrawl|\bcreep|\bsneak/, length: 1.8, still: 0.2, at: crawl },
  run: { words: /\brun|\bsprint|\bgallop|\brush|\bchase|\bfast\b/, length: 1.8, still: 0.13, at: run },
  reach: { words: REACHING, length: 1.2, at: () => REACH },
  walkBack: { words: /\bback|\breverse|\bretreat/, length: 1.8, still: 0.2, at: (t) => walk(t, -1) },
  walk: { words: WALKING, length: 1.8, still: 0.2, at: (t) => walk(t, 1) },
  stand: { words: /\b(stand|still|stay|stop|halt|wait|freeze|idle)\b/, at: () => ({}) },
  nod: { words: /\bnod|\byes\b|\bagree/, at: nod },
};

/** What the robot does where the words are not known. */
export const UNKNOWN = "nod";

/**
 * The move that words mean.
 * @param {string} words such as "walk forward", "turn_left", "goBack"
 * @returns {?string} a key of `MOVES`
 */
export function moveOf(words) {
  const plain = words.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/[_-]+/g, " ").toLowerCase();
  if (plain.startsWith("{")) return null; // arguments of a tool, not words
  return Object.keys(MOVES).find((name) => MOVES[name].words.test(plain)) ?? null;
}

const TURN = 2 * Math.PI;
const STANCE = 0.6; // the part of a step for which a foot is on the ground

const WALK = { hertz: 1.6, stride: 34, lift: 14, phases: [0, 0.5, 0.5, 0] };
const CRAWL = { hertz: 1.1, stride: 26, lift: 8, phases: [0, 0.5, 0.5, 0] };
const RUN = { hertz: 2.6, stride: 54, lift: 24, phases: [0, 0.12, 0.5, 0.62] };

/** Ease from 0 to 1. */
export function eased(part) {
  const p = Math.min(1, Math.max(0, part));
  return p * p * (3 - 2 * p);
}

function swing(t, hertz, size) {
  return size * Math.sin(TURN * hertz * t);
}

function gait(t, { hertz, stride, lift, phases, way = 1 }) {
  const pose = { road: (way * stride * hertz * t) / STANCE, y: -Math.abs(swing(t, hertz, 2.5)) };
  FEET.forEach((foot, index) => {
    const phase = (t * hertz + phases[index]) % 1;
    const isLifted = phase > STANCE;
    const part = isLifted ? (phase - STANCE) / (1 - STANCE) : phase / STANCE;
    pose[`${foot}X`] = way * stride * (isLifted ? part - 0.5 : 0.5 - part);
    pose[`${foot}Y`] = isLifted ? -lift * Math.sin(Math.PI * part) : 0;
  });
  return pose;
}

function allFeet(y) {
  return Object.fromEntries(FEET.map((foot) => [`${foot}Y`, y]));
}

function walk(t, way) {
  return { tail: swing(t, WALK.hertz, 8), ...gait(t, { ...WALK, way }) };
}

function crawl(t) {
  return { ...gait(t, CRAWL), y: 32, headY: 8 };
}

function run(t) {
  const bound = Math.sin(TURN * RUN.hertz * t);
  return { ...gait(t, RUN), y: -5 - 6 * bound, pitch: 5 * bound, headX: 6, tail: 16 - 10 * bound };
}

function jump(t) {
  const flight = (t - 0.2) / 0.5;
  if (flight < 0 || flight > 1) return { y: 16, headY: 6 };
  const height = 52 * Math.sin(Math.PI * flight);
  return { y: -height, pitch: 10 * flight - 8, tail: 20, ...allFeet(6 - height) };
}

function flip(t) {
  const flight = (t - 0.15) / 0.7;
  if (flight < 0 || flight > 1) return { y: 16 };
  const height = 54 * Math.sin(Math.PI * flight);
  return { y: -height, roll: -360 * eased(flight), ...allFeet(10 - height) };
}

function dance(t) {
  const beat = swing(t, 1.25, 1);
  const up = 13 * Math.max(0, beat);
  const down = 13 * Math.max(0, -beat);
  return {
    x: 9 * beat, y: 5 - Math.abs(8 * beat), pitch: -7 * beat, tilt: 12 * beat, headX: 5 * beat,
    tail: swing(t, 2.5, 30),
    frontNearY: -2 * up, frontFarY: -2 * down, hindNearY: -down, hindFarY: -up,
  };
}

function wagTail(t) {
  return { tail: 12 + swing(t, 4, 34), x: swing(t, 4, 1.5) };
}

function lookAround(t) {
  return { headX: swing(t, 0.6, 16), tilt: swing(t, 0.6, 8) };
}

function shakeHead(t) {
  return { headX: swing(t, 2.5, 9) };
}

function shakePaw(t) {
  return { ...SIT, frontNearX: 54, frontNearY: -46 + swing(t, 2, 9), tilt: 6 };
}

function wave(t) {
  return { ...SIT, frontNearX: 56 + swing(t, 2, 9), frontNearY: -84, tilt: 6, headX: -6 };
}

function stretch(t) {
  const depth = eased(t / 0.5);
  return {
    y: 16 * depth, pitch: 24 * depth, headX: 6, headY: 10 * depth, tail: 20 * depth,
    frontNearX: 66 * depth, frontFarX: 68 * depth, hindNearX: -8 * depth, hindFarX: -4 * depth,
  };
}

function nod(t) {
  const depth = Math.max(0, swing(t, 1.7, 1));
  return { headY: 13 * depth, tilt: 5 * depth };
}

function spin(t, facing) {
  return { facing: facing * Math.cos(TURN * Math.min(2, t / 0.8)), tail: 20 };
}

/** Turn to a side, like a card; once around if the robot looks there already. */
function turning(side) {
  return (t, facing) => {
    const part = eased(t / 0.8);
    const once = facing === side ? side * Math.cos(TURN * part) : -side * Math.cos(Math.PI * part);
    return { facing: once };
  };
}
