/** Elements made by hand: what the robot hears is never read as HTML, all text goes in as text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element.
 * @param {string} tag its name
 * @param {Object<string, string>} [attributes] as in HTML
 * @param {...(Node|string)} children appended in order; a string becomes text
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Make an SVG element; like `make`.
 * @param {string} tag
 * @param {Object<string, string|number>} [attributes]
 * @param {...(Node|string)} children
 * @returns {SVGElement}
 */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The element of the page with this id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Let a parent have exactly these children, in this order. What is in its place is not touched,
 * so that focus, selection and scroll position stay.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  children.forEach((child, place) => {
    const there = parent.children[place];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

/**
 * Show a text in an element that has nothing else; only what is new is added if it has grown.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  const node = element.firstChild;
  if (!node) element.append(text);
  else if (node.data === text) return;
  else if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

/**
 * A text that is cut where it is too long.
 * @param {string} text may have been cut before
 * @param {number} most characters
 * @returns {string}
 */
export function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most).replace(/[\s…]+$/, "")}…` : text;
}

/**
 * A duration for people.
 * @param {?number} seconds
 * @returns {string} such as "0.4 ms", "12 ms", "1.20 s"; empty if unknown
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds >= 9.995) return `${seconds.toFixed(1)} s`;
  if (seconds >= 0.9995) return `${seconds.toFixed(2)} s`;
  const ms = seconds * 1000;
  return ms > 0 && ms < 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/**
 * A count for people.
 * @param {number} count
 * @param {string} one the noun
 * @param {string} [many] its plural
 * @returns {string} such as "1,064 characters"
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/**
 * The time of day of an ISO date, on the watcher's clock.
 * @param {string} iso
 * @returns {string} such as "10:00:07"
 */
export function clock(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const isToday = at.toDateString() === new Date().toDateString();
  const day = isToday ? "" : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} `;
  return day + at.toLocaleTimeString("en-GB");
}
