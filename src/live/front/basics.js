// Elements, numbers, colours. Text only ever becomes text: nothing here takes markup.
const byId = (id) => document.getElementById(id);

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(9)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}
const el = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
const svg = (tag, properties, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
const put = (element, ...children) => element.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));

const known = (value) => typeof value === "number" && Number.isFinite(value);
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

// A number with three significant digits.
function amount(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  const [by, unit] = size >= 999.5e6 ? [1e9, "G"] : size >= 999.5e3 ? [1e6, "M"] : size >= 9999.5 ? [1e3, "k"] : [1, ""];
  const scaled = value / by;
  const digits = Math.abs(scaled) >= 99.95 || (unit === "" && Number.isInteger(scaled)) ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2;
  return scaled.toFixed(digits) + unit;
}
const percent = (share) => (known(share) ? (100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0) + " %" : "–");
function latency(ms) {
  if (!known(ms)) return "–";
  if (ms >= 60e3) return (ms / 60e3).toFixed(1) + " min";
  if (ms >= 1000) return (ms / 1000).toFixed(2) + " s";
  return ms >= 99.5 ? ms.toFixed(0) + " ms" : ms >= 1 ? ms.toFixed(1) + " ms" : (ms * 1000).toFixed(0) + " µs";
}
function bytes(size) {
  if (!known(size) || size <= 0) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(size) / 3), 4);
  return (size / 1000 ** power).toFixed(power === 0 ? 0 : 1) + " " + units[power];
}
const seconds = (s) => (known(s) ? s.toFixed(1) + " s" : "–");
const plural = (count, one, several) => `${count} ${count === 1 ? one : several || one + "s"}`;
const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);

// Colours come from the style sheet, so that a theme is in one place.
let style = null;
const colour = (name) => (style || (style = getComputedStyle(document.documentElement))).getPropertyValue("--" + name).trim();

// The last entry that is not after a time, of a list in order of time.
function lastUntil(list, at, time) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(list[middle]) <= time + 1e-9) low = middle + 1; else high = middle;
  }
  return low - 1;
}

const tip = byId("tip");
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = clamp(x + 14, 4, Math.max(4, innerWidth - box.width - 4)) + "px";
  tip.style.top = clamp(y + 14, 4, Math.max(4, innerHeight - box.height - 4)) + "px";
}
const hideTip = () => { tip.hidden = true; };
