// Elements are made of text nodes and attributes alone: nothing that a stranger wrote
// is ever read as HTML.
import { t } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

export const section = (title, ...children) => h("section", {}, title && h("h2", {}, title), ...children);
export const figures = (...pairs) => h("dl", { class: "figures" }, pairs.map(([name, value, unit]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, unit && h("small", {}, " " + unit)))));
export const rows = (...pairs) => h("dl", { class: "rows" }, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
export const empty = (...children) => h("p", { class: "empty" }, ...children);
export const code = text => h("code", {}, text);

// table makes one that scrolls by itself where it is too wide. Columns are [title, number?].
export const table = (label, columns, lines) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {},
  h("thead", {}, h("tr", {}, columns.map(([title, n]) => h("th", { scope: "col", class: n && "n" }, title)))),
  h("tbody", {}, lines.map(line => h("tr", {}, line.map((cell, i) => h("td", { class: columns[i][1] && "n" }, cell)))))));

export const number = (n, digits = 0) => Number(n).toLocaleString(t.locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const coins = sat => number(sat / 1e8, 8).replace(/0{1,6}$/, "");
export const short = hash => hash.slice(0, 8) + "…" + hash.slice(-8);
export const hashText = hash => h("span", { class: "mono", title: hash }, short(hash));
export const link = (kind, id, text) => h("a", { href: `#/${kind}/${id}`, class: text === undefined ? "mono" : undefined, title: id }, text === undefined ? short(String(id)) : text);

const steps = [["", 1], ["k", 1e3], ["M", 1e6], ["G", 1e9], ["T", 1e12], ["P", 1e15], ["E", 1e18]];
export function scaled(n, unit) {
  let at = 0;
  while (at + 1 < steps.length && Math.abs(n) >= steps[at + 1][1]) at++;
  const v = n / steps[at][1];
  if (n > 0 && n < 1) return number(n, n < 0.01 ? 4 : 2) + " " + unit;
  return number(v, at === 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2) + " " + steps[at][0] + unit;
}
export const bytes = n => scaled(n, "B");
export function span(seconds) {
  const n = Math.abs(Math.round(seconds));
  if (n < 100) return t.seconds(n);
  if (n < 6000) return t.minutes(Math.round(n / 60));
  if (n < 172800) return t.hours(Math.round(n / 3600));
  return t.days(Math.round(n / 86400));
}
export const when = seconds => new Date(seconds * 1000).toLocaleString(t.locale, { dateStyle: "medium", timeStyle: "medium" });
// ago is a time that goes on by itself.
export const ago = seconds => h("time", { datetime: new Date(seconds * 1000).toISOString(), title: when(seconds), "data-ago": seconds }, agoText(seconds));
const agoText = seconds => { const d = Date.now() / 1000 - seconds; return d < -2 ? t.ahead(span(d)) : t.ago(span(Math.max(0, d))); };
setInterval(() => { for (const e of document.querySelectorAll("[data-ago]")) e.firstChild.data = agoText(+e.dataset.ago); }, 1000);

export function difficulty(bits) {
  const mantissa = bits & 0x7fffff;
  return mantissa === 0 ? 0 : 0xffff / mantissa * 256 ** (29 - (bits >>> 24));
}
// hashes is how many tries a target takes on average.
export const hashes = bits => 2 ** 256 / ((bits & 0x7fffff) * 256 ** ((bits >>> 24) - 3) + 1);
export const small = n => n >= 100 ? number(n) : n >= 1 ? number(n, 2) : n === 0 ? "0" : n.toExponential(2);
