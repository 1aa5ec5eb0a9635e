/**
 * One tick, as the server remembers it, built from the events while it happens.
 *
 * A tick has `id, at, sensed, missed, history, text, actions, provider, model, attempts,
 * first_action_s, total_s, usage, reason, error`. One that was watched has also: `number, brain,
 * prompt`, `pieces` (how many the text came in), `text_from_s` and `text_to_s`, `more` (actions
 * beyond `MOST_ACTIONS`), and `running`.
 */


/** Characters kept of one text of a tick. */
export const LONGEST_TEXT = 20000;

/** Actions kept of one tick. */
export const MOST_ACTIONS = 200;

/** Kinds of errors that are not of a tick but of the robot. */
export const OF_THE_ROBOT = new Set(["input", "storage"]);

const LONGEST_SENTENCE = 500;

/**
 * A tick as the server remembers it, no longer than what is kept here.
 * @param {Object} record from `hello` or `/ticks`
 * @returns {Object} a tick
 */
export function recalled(record) {
  const actions = record.actions.slice(0, MOST_ACTIONS);
  const more = record.actions.length - actions.length;
  return { ...record, number: record.tick ?? null, text: clipped(record.text), actions, more };
}

/**
 * The tick that an event begins.
 * @param {Object} event of kind "sensed"
 * @returns {Object} a tick
 */
export function begin(event) {
  return {
    id: null,
    number: event.tick,
    at: event.at,
    brain: event.brain,
    sensed: clipped(event.text),
    missed: (event.missed ?? []).map(clipped),
    prompt: event.prompt ?? null,
    history: event.prompt?.history ?? [],
    text: "",
    pieces: 0,
    text_from_s: null,
    text_to_s: null,
    actions: [],
    more: 0,
    provider: "",
    model: "",
    attempts: [],
    first_action_s: null,
    total_s: 0,
    usage: null,
    reason: "",
    error: null,
    since: performance.now(),
    running: true,
  };
}

/**
 * Let a tick take an event in. Kinds that tell nothing of a tick change nothing.
 * @param {Object} tick from `begin`; changed in place
 * @param {Object} event
 */
export function apply(tick, event) {
  switch (event.event) {
    case "text":
      tick.text = clipped(tick.text + event.text);
      tick.pieces += 1;
      tick.text_from_s ??= event.at_s;
      tick.text_to_s = event.at_s;
      break;
    case "action":
      wroteBefore(tick, event.at_s);
      keep(tick, event, "done");
      break;
    case "refused":
      wroteBefore(tick, event.at_s);
      keep(tick, event, "refused");
      break;
    case "attempt":
      wroteBefore(tick, event.at_s);
      tick.attempts.push(event);
      break;
    case "done":
      finish(tick, event);
      break;
    case "error":
      fail(tick, event);
      break;
  }
}

function clipped(text) {
  return text.length > LONGEST_TEXT ? text.slice(0, LONGEST_TEXT) : text;
}

/**
 * What was written before something, was written no later. A piece of text has the time when the
 * page was given it, all else that of the call, which is when it was read: a little earlier.
 */
function wroteBefore(tick, at_s) {
  if (tick.text_from_s === null) return;
  tick.text_from_s = Math.min(tick.text_from_s, at_s);
  tick.text_to_s = Math.min(tick.text_to_s, at_s);
}

function keep(tick, { type, value, at_s, reason = "" }, outcome) {
  if (tick.actions.length < MOST_ACTIONS) {
    tick.actions.push({ type, value: clipped(value), at_s, outcome, reason });
  } else {
    tick.more += 1;
  }
}

function finish(tick, event) {
  const { provider, model, first_action_s, total_s, usage, reason = "" } = event;
  const attempts = inTime(event.attempts, tick.attempts);
  wroteBefore(tick, total_s);
  Object.assign(tick, { provider, model, first_action_s, total_s, usage, reason, attempts });
  tick.running = false;
}

/** All attempts of a call; those that were watched know when they ended, and who was next. */
function inTime(all = [], watched) {
  const isSame = (one, other) =>
    one.provider === other.provider && one.outcome === other.outcome && one.elapsed_s === other.elapsed_s;
  return all.map((attempt) => watched.find((each) => isSame(each, attempt)) ?? attempt);
}

function fail(tick, { kind, message, attempts, action, at_s }) {
  if (kind === "actuator" && action) {
    const { type, value } = action;
    const isIt = (each) => each.type === type && each.value === value && each.outcome === "done";
    const failed = tick.actions.find(isIt);
    if (failed) {
      Object.assign(failed, { outcome: "failed", reason: message });
      return;
    }
  }
  tick.error = { kind, message };
  if (kind === "actuator") return; // the model goes on
  tick.attempts = inTime(attempts, tick.attempts);
  tick.total_s ||= at_s ?? lastMoment(tick);
  tick.running = false;
}

/**
 * The last moment that is known of a tick.
 * @param {Object} tick
 * @returns {number} seconds since it began
 */
export function lastMoment({ total_s, text_to_s, actions, attempts }) {
  if (total_s) return total_s;
  const moments = [...actions, ...attempts].map(({ at_s = 0 }) => at_s);
  const asked = attempts.map((each) => (each.at_s === undefined ? each.elapsed_s : 0));
  return Math.max(text_to_s ?? 0, asked.reduce((sum, each) => sum + each, 0), ...moments);
}

/**
 * One sentence about a tick, for who listens to the page.
 * @param {Object} tick that has ended
 * @param {{name: string, speech: ?string}} robot
 * @returns {string} such as "spot: sit, happy. “Okay!”"
 */
export function told({ actions, error, reason }, { name, speech }) {
  const done = actions.filter(({ outcome }) => outcome === "done");
  const not = actions.filter(({ outcome }) => outcome !== "done");
  const undone = not.map((each) => ` (${each.value || each.type} ${each.outcome}: ${each.reason})`).join("");
  const words = done.filter(({ type }) => type === speech).map(({ value }) => `“${value}”`).join(" ");
  const deeds = done.filter(({ type }) => type !== speech).map(({ value }) => value).join(", ");
  const why = [error?.message, reason].filter(Boolean).map((each) => ` (${each})`).join("");
  const did = [deeds, words].filter(Boolean).join(". ") || "nothing";
  return `${name}: ${did}${undone}${why}`.slice(0, LONGEST_SENTENCE);
}
