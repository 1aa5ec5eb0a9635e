/** The page: events come in, and each part shows its share of them. */

import { Brains } from "./brains.js";
import { byId } from "./dom.js";
import { isFeeling } from "./faces.js";
import { History } from "./history.js";
import { SayBox } from "./say.js";
import { Stage } from "./stage.js";
import { get, listen } from "./stream.js";
import { apply, begin, lastMoment, OF_THE_ROBOT, recalled, told } from "./tick.js";
import { Timeline } from "./timeline.js";

const MOST_TICKS = 200; // kept on the page
const MOST_PROMPTS = 20; // of them, with the whole prompt
const PAGE_OF_TICKS = 50; // that the server gives at once
const CONNECTION = { connecting: "connecting", live: "live", lost: "lost, trying again" };

const stage = new Stage();
const sayBox = new SayBox(() => choose(null));
const brains = new Brains();
const timeline = new Timeline(() => {
  choose(null);
  byId("tick-title").focus(); // the button that had it is gone
});
const history = new History(chooseAndShow, loadOlder);

let robot = { name: "robot", speech: null, actions: [] };
let ticks = []; // that have ended, oldest first
let current = null; // under way, or the last one
let chosen = null; // to be shown; none is the current one
let hasOlder = false; // than these
let isLoading = false; // older ones

const HANDLERS = {
  hello: greet,
  brains: (event) => brains.show(event.brains, event.brain),
  sensed: beginTick,
  error: (event) => {
    if (event.kind === "actuator" && event.action) stage.fail(event.action);
    (OF_THE_ROBOT.has(event.kind) || !current ? notice : advance)(event);
  },
  text: advance,
  action: (event) => {
    stage.act(event);
    advance(event);
  },
  refused: advance,
  attempt: advance,
  done: advance,
  remembered: number,
};

listen("events", (event) => HANDLERS[event.event]?.(event), (state) => {
  byId("connection").dataset.state = state;
  byId("connection").textContent = CONNECTION[state];
  timeline.connected(state === "live");
  brains.connected(state === "live");
  if (state === "live") sayBox.complain("");
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen) choose(null);
});
byId("notice-close").addEventListener("click", () => (byId("notice").hidden = true));

function greet(event) {
  const watched = new Map(robot.name === event.robot.name ? ticks.map((tick) => [tick.id, tick]) : []);
  robot = event.robot;
  ticks = event.ticks.slice(-MOST_TICKS).map((record) => {
    const known = watched.get(record.id);
    return known?.at === record.at ? known : recalled(record);
  });
  current = null;
  if (!ticks.includes(chosen)) chosen = null;
  hasOlder = event.ticks.length >= PAGE_OF_TICKS;
  document.title = `${robot.name} · reflexarc`;
  byId("name").textContent = robot.name;
  byId("notice").hidden = true;
  sayBox.address(robot.name);
  const can = robot.actions.flatMap(({ values, type }) => (isFeeling(type) ? [] : values ?? []));
  byId("can").textContent = can.length ? ` ${robot.name} can: ${can.join(", ")}.` : "";
  brains.show(event.brains, event.brain, true);
  const [sensed, ...rest] = event.now;
  if (sensed) {
    current = begin(sensed);
    for (const each of rest) apply(current, each);
    current.since -= 1000 * lastMoment(current);
    if (!current.running) keepCurrent();
  }
  const last = current ?? ticks.at(-1);
  for (const each of ticks) brains.learn(each);
  stage.reset(robot);
  if (last) stage.settle(last);
  show();
}

function beginTick(event) {
  if (current?.running) keepCurrent(); // it was cut off
  current = begin(event);
  stage.begin();
  brains.begin();
  show();
}

function advance(event) {
  if (!current) return;
  const wasRunning = current.running;
  apply(current, event);
  if (wasRunning && !current.running) {
    keepCurrent();
    brains.learn(current);
    stage.end(current);
    byId("telling").textContent = told(current, robot);
  } else if (!current.running) {
    history.update(current);
  }
  if (!current.running) show();
  else if (!chosen) timeline.show(current, true);
}

/** A tick that has ended is on disk; others may have begun meanwhile. */
function number({ tick: number, id }) {
  const ended = [...ticks, current].findLast((each) => each?.number === number && each.id === null);
  if (!ended) return;
  ended.id = id;
  show();
}

/** Put the current tick to the past ones, in place of what memory has told of it. */
function keepCurrent() {
  current.running = false;
  const isIt = ({ id, at }) => (id !== null && id === current.id) || at === current.at;
  current.id ??= ticks.find(isIt)?.id ?? null;
  keep([...ticks.filter((tick) => !isIt(tick)), current]);
  const forgotten = ticks.at(-1 - MOST_PROMPTS);
  if (forgotten) forgotten.prompt = null;
}

function keep(all) {
  hasOlder ||= all.length > MOST_TICKS;
  ticks = all.slice(-MOST_TICKS);
}

function choose(tick) {
  chosen = tick === current ? null : tick;
  show();
}

function chooseAndShow(tick) {
  choose(tick);
  const { top } = byId("tick-title").getBoundingClientRect();
  if (top < 0 || top > 0.7 * innerHeight) byId("tick-title").scrollIntoView({ block: "start" });
}

function show() {
  const shown = chosen ?? current ?? ticks.at(-1) ?? null;
  timeline.show(shown, chosen === null);
  history.show(ticks, shown, { hasOlder, offers: hasOlder && ticks.length < MOST_TICKS && ticks[0]?.id != null });
}

async function loadOlder() {
  if (isLoading) return;
  isLoading = true; // a disabled button would lose the focus
  try {
    const before = ticks[0].id;
    const { ticks: older } = await get(`ticks?before=${encodeURIComponent(before)}`);
    if (ticks[0]?.id !== before) return; // there was a hello meanwhile
    hasOlder = older.length >= PAGE_OF_TICKS;
    keep([...older.map(recalled), ...ticks]);
    const shown = byId("history").children.length;
    show();
    byId("history").children[shown]?.firstChild.focus();
  } catch (error) {
    notice({ kind: "history", message: error.message });
  } finally {
    isLoading = false;
  }
}

function notice({ kind, message }) {
  byId("notice-text").textContent = `${kind}: ${message}`;
  byId("notice").hidden = false;
}
