/** The connection to the robot: its events come in, sentences and choices go out. */

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 10000;
const LONGEST_WAIT_MS = 10000;
const HIDDEN_MS = 5000; // a page that nobody sees gives its connection back: browsers have six for a robot

/**
 * Listen to the robot's events for ever. A connection that breaks is opened again: by the browser,
 * or by us where the browser has given up because the server refused.
 * @param {string} address of the events
 * @param {(event: Object) => void} receive told each event
 * @param {(state: "connecting"|"live"|"lost") => void} tell told each change of the connection
 */
export function listen(address, receive, tell) {
  let retryMs = FIRST_RETRY_MS;
  let source = null;
  let timer = null;

  function open() {
    source = new EventSource(address);
    source.onopen = () => {
      retryMs = FIRST_RETRY_MS;
      tell("live");
    };
    source.onmessage = (message) => receive(JSON.parse(message.data));
    source.onerror = () => {
      tell("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
    };
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN_MS);
    else if (source === null || source.readyState === EventSource.CLOSED) open();
  });
  tell("connecting");
  open();
}

/**
 * Send a JSON object to the robot.
 * @param {string} address
 * @param {Object} body
 * @returns {Promise<void>} rejects with a sentence for people
 */
export async function post(address, body) {
  await request(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

/**
 * Get a JSON object from the robot.
 * @param {string} address
 * @returns {Promise<Object>} rejects with a sentence for people
 */
export async function get(address) {
  return (await request(address)).json();
}

async function request(address, options) {
  let response;
  try {
    response = await fetch(address, { signal: AbortSignal.timeout(LONGEST_WAIT_MS), ...options });
  } catch {
    throw new Error("The robot does not answer. Try again when the connection is live.");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  throw new Error(answer?.error ?? `The robot's server refused it (HTTP ${response.status}).`);
}
