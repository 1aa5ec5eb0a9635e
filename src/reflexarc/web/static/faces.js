/** The faces of the drawn robot, on a screen of 84 by 58 whose middle is 0, 0. */

const dot = (x, y, wide, high) =>
  `M${x - wide} ${y}a${wide} ${high} 0 1 0 ${2 * wide} 0a${wide} ${high} 0 1 0 ${-2 * wide} 0z`;
const eyes = (wide, high, y = -5) => dot(-18, y, wide, high) + dot(18, y, wide, high);
const heart = (x) => `M${x} 5c-14 -9 -11 -19 -5 -19q4 0 5 5q1 -5 5 -5c6 0 9 10 -5 19z`;
const SMILE = "M-10 11q10 10 20 0";
const FROWN = "M-9 18q9 -9 18 0";

/**
 * A face: what is filled and what is a line, of the eyes (which blink) and of the rest; a sign
 * beside the head; and how the body shares it, as parts of a pose that are added.
 * @typedef {Object} Face
 * @property {RegExp} words which values mean it
 * @property {string} [eyes] filled
 * @property {string} [eyeLines]
 * @property {string} [fill] filled, and no eye
 * @property {string} [line]
 * @property {string} [mark] beside the head
 * @property {Object<string, number>} [posture]
 */

/**
 * Every known face; the first one whose words are in a value is meant.
 * @type {Object<string, Face>}
 */
export const FACES = {
  love: {
    words: /\blov|heart|ador|affection/, fill: heart(-18) + heart(18), line: SMILE,
    mark: "♥", posture: { tilt: 6, tail: 14 },
  },
  cry: {
    words: /\bcry|tear|weep|\bsob/, eyeLines: "M-26 -7q8 7 16 0M10 -7q8 7 16 0",
    fill: dot(-18, 8, 3, 5) + dot(18, 12, 3, 5), line: FROWN, posture: { headY: 10, tail: -40 },
  },
  surprised: {
    words: /surpris|shock|amaz|astonish|startl|\bwow/, eyes: eyes(8, 10, -6), line: dot(0, 16, 6, 7),
    mark: "!", posture: { headY: -6, tail: 18 },
  },
  scared: {
    words: /scar|afraid|\bfear|anxi|worr|nervous|terrif|panic/, eyeLines: eyes(8, 9), eyes: eyes(3, 3, -3),
    line: "M-14 16q3.5 -5 7 0t7 0t7 0t7 0", posture: { headX: -8, headY: 6, tail: -44 },
  },
  angry: {
    words: /\bang(er|ry)|\bmad\b|furious|annoy|\bupset|grump|\brage|hostile/, eyes: eyes(6, 7, -3),
    line: "M-28 -18l15 7M28 -18l-15 7M-9 16h18", posture: { headY: 4, headX: 4, tail: 6 },
  },
  sad: {
    words: /\bsad|sorry|unhapp|disappoint|lonel|frown|depress|\bhurt/, eyes: eyes(6, 7, -2),
    line: `M-28 -13l13 -6M28 -13l-13 -6${FROWN}`, posture: { headY: 10, tilt: 4, tail: -40 },
  },
  excited: {
    words: /excit|thrill|eager|ecsta|\bjoy|delight|playful/, eyeLines: "M-27 -1q9 -15 18 0M9 -1q9 -15 18 0",
    fill: "M-13 9h26q0 15 -13 15t-13 -15z", mark: "!", posture: { headY: -4, tail: 22 },
  },
  happy: {
    words: /happ|smil|glad|cheer|content|proud|friendly|grin|laugh|pleas/,
    eyeLines: "M-26 -1q8 -12 16 0M10 -1q8 -12 16 0", line: SMILE, posture: { tail: 16 },
  },
  thinking: {
    words: /think|thought|ponder|wonder|concentrat|focus/, eyes: dot(-13, -9, 5, 6) + dot(23, -9, 5, 6),
    line: "M-4 14q6 -4 12 0", mark: "…", posture: { tilt: -6 },
  },
  curious: {
    words: /curio|confus|interest|puzzl|alert|attent/, eyes: dot(-18, -4, 6, 7) + dot(18, -5, 7, 9),
    line: "M9 -21q9 -6 18 0M-4 15q5 -3 9 0", mark: "?", posture: { tilt: 10, headX: 3 },
  },
  sleepy: {
    words: /sleep|tired|bored|drows|exhaust/, eyeLines: "M-26 -3q8 5 16 0M10 -3q8 5 16 0",
    line: "M-4 15h8", mark: "z", posture: { headY: 8, tail: -30 },
  },
  neutral: { words: /neutral|calm|relax|normal|idle|none/, eyes: eyes(6, 8), line: "M-7 14q7 3 14 0" },
};

/**
 * Whether actions of this type show a feeling.
 * @param {string} type
 * @returns {boolean}
 */
export function isFeeling(type) {
  return /emot|face|feel|mood|express/.test(type);
}

/**
 * The face that words mean.
 * @param {string} words such as "happy", "very_curious"
 * @returns {?string} a key of `FACES`
 */
export function faceOf(words) {
  const plain = words.replace(/[_-]+/g, " ").toLowerCase();
  return Object.keys(FACES).find((name) => FACES[name].words.test(plain)) ?? null;
}
