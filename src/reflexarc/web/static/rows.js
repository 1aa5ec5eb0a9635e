/** What the timeline shows of a tick: one row for each thing that happened, as data. */

import { counted, duration } from "./dom.js";
import { LONGEST_TEXT } from "./tick.js";

const IDLE = "idle"; // as "next" of an attempt: nobody is asked

const OUTCOMES = {
  done: { kind: "action", tone: "good", note: "" },
  refused: { kind: "refused", tone: "warn", note: "refused" },
  failed: { kind: "failed", tone: "bad", note: "not performed" },
};

/**
 * One row.
 * @typedef {Object} Row
 * @property {string} key the same as long as it is about the same thing
 * @property {string} kind sensed, missed, prompt, attempt, text, action, refused, failed, more,
 *   error, idle or done
 * @property {"plain"|"good"|"warn"|"bad"} tone
 * @property {string} title
 * @property {string} [value] what matters of it
 * @property {string} [note] what else there is to say
 * @property {string} [text] what the model writes
 * @property {Array<{name: string, of?: string, text: string}>} [parts] of the prompt
 * @property {Array<{name: string, fact: string}>} [facts]
 * @property {number} [from_s] seconds since the tick began, where it took time
 * @property {number} [to_s] its end; `at_s` if absent
 * @property {number} [at_s] when it was known
 */

/**
 * The rows of a tick, in order of time.
 * @param {Object} tick
 * @returns {Row[]}
 */
export function rowsOf(tick) {
  const attempts = attemptRows(tick);
  const actions = actionRows(tick);
  const timed = [...attempts, ...textRows(tick), ...actions]; // of the same time: an action is read from a text
  const asked_s = Math.max(0, ...attempts.map((row) => row.at_s));
  const wrote_s = Math.min(asked_s, ...actions.map((row) => row.at_s ?? Infinity)); // memory has no time of it
  const order = (row) => row.at_s ?? (row.kind === "text" ? wrote_s : Infinity);
  timed.sort((one, other) => order(one) - order(other));
  return [...sensedRows(tick), promptRow(tick), ...timed, ...endRows(tick)];
}

function sensedRows({ sensed, missed }) {
  const note = "not asked about: the tick before was still running";
  const row = { key: "sensed", kind: "sensed", tone: "plain", title: "Sensed", value: sensed, at_s: 0 };
  return [
    row,
    ...missed.map((value, index) => (
      { key: `missed${index}`, kind: "missed", tone: "warn", title: "Missed", value, note }
    )),
  ];
}

function promptRow({ prompt, history, sensed }) {
  const parts = [];
  if (prompt) {
    const examples = prompt.examples ?? [];
    const text = examples.map(exampleText).join("\n");
    parts.push({ name: "system", text: prompt.system ?? "" });
    parts.push({ name: "examples", of: counted(examples.length, "example"), text });
  }
  const said = history.map((each) => `${each.role}: ${each.content}`).join("\n");
  parts.push({ name: "history", of: counted(history.length, "message"), text: said });
  parts.push({ name: "situation", text: prompt?.situation ?? sensed });
  const size = parts.reduce((sum, part) => sum + part.text.length, 0);
  const title = prompt ? "Prompt" : "Prompt, as far as it is remembered";
  return { key: "prompt", kind: "prompt", tone: "plain", title, note: counted(size, "character"), parts };
}

function exampleText({ sensed, actions }) {
  return `${sensed}\n  → ${actions.map((each) => `${each.type} ${each.value}`).join(" · ")}`;
}

function attemptRows({ attempts, error }) {
  const rows = [];
  let asked_s = 0; // where it is not known when one ended: they came one after the other
  attempts.forEach((attempt, index) => {
    const { provider, model, outcome, elapsed_s, message, next } = attempt;
    if (outcome === "ok") return;
    asked_s = attempt.at_s ?? asked_s + elapsed_s;
    const isOvertaken = outcome === "overtaken";
    const isEnd = next === IDLE || (index === attempts.length - 1 && isSame(attempt, error));
    const who = [provider, model].filter(Boolean).join(" ");
    rows.push({
      key: `attempt${index}`,
      kind: "attempt",
      tone: isOvertaken ? "plain" : isEnd ? "bad" : "warn",
      title: isOvertaken ? `${who} was overtaken` : outcome === "resting" ? `${who} was not asked:` : `${who} failed:`,
      value: isOvertaken ? "" : outcome.replaceAll("_", " "),
      note: [message, nextText(provider, next)].filter(Boolean).join("\n"),
      from_s: Math.max(0, asked_s - elapsed_s),
      at_s: asked_s,
    });
  });
  return rows;
}

/** Whether the error that a tick ended with tells no more than this attempt. */
function isSame(attempt, error) {
  return attempt?.outcome === error?.kind && attempt?.message === error?.message;
}

function nextText(provider, next) {
  if (!next) return "";
  if (next === IDLE) return "nobody is left to ask: the robot idles";
  return next === provider ? `→ ${next} is asked again` : `→ ${next} is asked next`;
}

function actionRows({ actions, more }) {
  const rows = actions.map(({ type, value, at_s, outcome, reason }, index) => {
    const { kind, tone, note } = OUTCOMES[outcome];
    const why = [note, reason].filter(Boolean).join(": ");
    return { key: `action${index}`, kind, tone, title: type || "action", value, note: why, at_s };
  });
  if (more) {
    rows.push({ key: "more", kind: "more", tone: "plain", title: `and ${counted(more, "more action")}` });
  }
  return rows;
}

function textRows({ text, pieces, text_from_s, text_to_s }) {
  if (!text) return [];
  const size = counted(text.length, "character");
  const shown = text.length < LONGEST_TEXT ? size : `the first ${size}`;
  const note = pieces ? `${counted(pieces, "piece")} · ${shown}` : shown;
  const at_s = text_from_s ?? undefined;
  const times = { from_s: at_s, to_s: text_to_s, at_s };
  return [{ key: "text", kind: "text", tone: "plain", title: "The model writes", note, text, ...times }];
}

function endRows(tick) {
  const { attempts, error, reason, running, total_s, provider } = tick;
  const rows = [];
  if (error && !isSame(attempts.at(-1), error)) {
    const value = error.kind.replaceAll("_", " ");
    const at_s = running || provider ? undefined : total_s; // else it was not the end
    rows.push({ key: "error", kind: "error", tone: "bad", title: "Error", value, note: error.message, at_s });
  }
  if (reason) {
    const [kind, ...words] = reason.split(": ");
    const value = kind.replaceAll("_", " ");
    rows.push({ key: "idle", kind: "idle", tone: "warn", title: "Idle", value, note: words.join(": ") });
  }
  if (!running && (provider || !error)) {
    const facts = factsOf(tick);
    rows.push({ key: "done", kind: "done", tone: "plain", title: "Done", facts, from_s: 0, at_s: total_s });
  }
  return rows;
}

function factsOf({ first_action_s, total_s, provider, model, usage, text }) {
  const isAsked = Boolean(text || usage); // else all of it was decided without the language model
  const facts = {
    "first action": first_action_s === null ? "none" : duration(first_action_s),
    "whole answer": duration(total_s),
    brain: [provider || "nobody", model].filter(Boolean).join(" "),
    "language model": provider === IDLE || !provider || isAsked ? undefined : "not needed",
    "tokens read": usage?.prompt_tokens,
    "of them from cache": usage?.cached_tokens,
    "tokens written": usage?.completion_tokens,
  };
  return Object.entries(facts)
    .filter(([, fact]) => fact !== null && fact !== undefined)
    .map(([name, fact]) => ({ name, fact: fact.toLocaleString("en") }));
}
