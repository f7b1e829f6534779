import { h, number } from "./dom.js";
import { get, follow } from "./api.js";
import { t } from "./text.js";
import home from "./home.js";

const views = {
  "": home, block: () => import("./block.js"), tx: () => import("./tx.js"), address: () => import("./address.js"), mempool: () => import("./mempool.js"), forks: () => import("./forks.js"),
  peers: () => import("./peers.js"), peer: () => import("./peers.js"), pool: () => import("./pool.js"), rules: () => import("./rules.js"), change: () => import("./change.js"), why: () => import("./why.js"),
};
const menu = [["", t.home], ["forks", t.forks], ["mempool", t.pool], ["peers", t.peers], ["pool", t.miners], ["rules", t.rules]];
const main = document.getElementById("main"), news = document.getElementById("news");
let view = null, due = 0, busy = false, again = false;

const problem = (e, retry) => h("div", {}, h("h1", {}, t.nothing), h("p", { class: "lead", role: "alert" }, e.message), retry && h("button", { onclick: retry }, t.again));

// draw shows the present view anew; what is asked for meanwhile is done once more.
async function draw() {
  if (busy) { again = true; return; }
  busy = true;
  const now = view;
  try { await now.draw(); } catch (e) { if (now === view && !now.root.firstChild?.firstChild) now.root.replaceChildren(problem(e, () => { now.root.replaceChildren(); route(); })); }
  busy = false;
  if (again) { again = false; draw(); }
}

// route finds the view that the address names: #/KIND/ID?QUERY.
async function route(event) {
  const [path, query = ""] = decodeURI(location.hash.replace(/^#\/?/, "")).split("?"), [kind, ...rest] = path.split("/");
  let make = views[kind];
  if (!Object.hasOwn(views, kind)) { main.replaceChildren(problem(new Error(t.notFound))); return; }
  if (kind !== "") make = (await make()).default;
  view = make(rest.join("/"), new URLSearchParams(query), kind);
  main.replaceChildren(view.root);
  document.title = `${view.title} · Lode`;
  for (const a of document.querySelectorAll("nav a")) a.toggleAttribute("aria-current", a.getAttribute("href") === "#/" + kind);
  for (const a of document.querySelectorAll("nav a[aria-current]")) a.setAttribute("aria-current", "page");
  if (event) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  again = false; busy = false;
  draw();
}

function search() {
  const input = h("input", { type: "search", placeholder: t.search, "aria-label": t.search, name: "q", spellcheck: "false", autocomplete: "off", maxlength: 200 });
  return h("form", { class: "search", role: "search", onsubmit: async event => {
    event.preventDefault();
    if (!input.value.trim()) return;
    try {
      const found = await get("search?q=" + encodeURIComponent(input.value.trim()));
      location.hash = `#/${found.kind}/${found.id}`;
      input.value = "";
      input.setCustomValidity("");
    } catch (e) { tell(e.message, "search", "warn"); }
  } }, input);
}

function themeButton() {
  const root = document.documentElement;
  try { if (localStorage.theme) root.dataset.theme = localStorage.theme; } catch { /* it is forgotten */ }
  return h("button", { class: "quiet", type: "button", onclick: () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.theme = root.dataset.theme; } catch { /* it is forgotten */ }
  } }, t.theme);
}

// tell shows a line above the page; one of a kind takes the place of the one before.
function tell(text, kind, style, ...more) {
  document.querySelector(`#news [data-kind="${kind}"]`)?.remove();
  if (text) news.prepend(h("p", { "data-kind": kind, class: style }, text, ...more));
  if (text && kind !== "lost" && kind !== "warnings") setTimeout(() => tell("", kind), 30000);
}

let left = [], came = 0;
function events(list) {
  const kinds = {};
  for (const e of list) {
    kinds[e.topic] = true;
    if (e.topic === "stream" && e.type !== "resume") kinds.blocks = kinds.mempool = e.type === "restart";
    if (e.topic === "blocks" && e.type === "disconnected") { if (came) { left = []; came = 0; } left.push(e.hash); }
    if (e.topic === "blocks" && e.type === "connected" && left.length) came++;
    if (e.topic === "warnings") tell(e.warnings.join(" "), "warnings", "warn");
  }
  if (left.length && came) {
    const from = left[left.length - 1];
    const n = left.length, m = came;
    tell(t.reorg(n, m), "reorg", "", " ", h("a", { href: "#/forks/" + from }, t.reorgLink));
  }
  if (came && list.some(e => e.topic === "blocks")) setTimeout(() => { left = []; came = 0; }, 1500);
  if (!view || !view.on(kinds, list)) return;
  // A block is shown at once; of the mempool, once a second is enough.
  if (kinds.blocks) { clearTimeout(due); due = 0; draw(); } else if (!due) due = setTimeout(() => { due = 0; draw(); }, 1000);
}

async function start() {
  document.getElementById("skip").textContent = t.skip;
  document.getElementById("skip").addEventListener("click", e => { e.preventDefault(); main.focus(); });
  const pill = h("span", { class: "pill" }, "…");
  document.getElementById("top").append(h("a", { class: "brand", href: "#/" }, h("img", { src: "/static/icon.svg", alt: "" }), "Lode", pill), h("nav", { "aria-label": t.sections }, menu.map(([id, name]) => h("a", { href: "#/" + id }, name))), search());
  const foot = document.getElementById("foot");
  foot.append(h("span", {}, "Lode"), themeButton());
  addEventListener("hashchange", route);
  route();
  follow(events, ok => tell(ok ? "" : t.lost, "lost", "warn"));
  const info = await get("home").catch(() => null);
  if (!info) return;
  pill.textContent = info.network;
  foot.firstChild.textContent = t.foot(info.version);
  if (info.warnings.length) tell(info.warnings.join(" "), "warnings", "warn");
}
start();
