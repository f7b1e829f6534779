// The page of a network. It learns all from one stream of events, and changes nothing
// but by buttons. What nodes say is shown as text (explorer/dom.js).
import { h, s, section, rows, empty, number, scaled, short } from "./explorer/dom.js";
import { drawTree } from "./explorer/forks.js";
import { t } from "./explorer/text.js";

const w = {
  mine: "Mine", kill: "Kill", stop: "Stop", start: "Start", wipe: "Wipe", height: "Height", tip: "Tip", peers: "Peers", pool: "Mempool", rate: "Hash rate", utxo: "UTXO hash", clock: "Clock", part: "Part",
  pause: "Pause mining", resume: "Resume mining", heal: "Heal", add: "Add a node", tree: "Forks of all nodes", treeText: "the chain with the most work is on the left; numbers are nodes whose tip it is", story: "What happens", quiet: "Nothing was done yet.", todo: "Do",
  lost: "The connection to `lode testnet page` is lost: is it running?", cut: x => `The network is cut into ${x} parts.`, goesOn: x => `Goes on: ${x}.`, wait: "Looking at the nodes…", explorer: i => `Explorer of node ${i}`, none: "No node answers.", agree: "All nodes agree.", differ: "Nodes differ.",
};

// What there is to do: name, title, explanation, and fields: name, label, kind, value.
const deeds = [
  ["send", "Pay", "", [["node", "From node", "node", 1], ["to", "To (node or address)", "text", "2"], ["amount", "Coins", "text", "0.25"]]],
  ["mine", "Mine", "at once", [["node", "Node", "node", 1], ["count", "Blocks", "int", 1]]],
  ["partition", "Partition", "nodes of different parts refuse each other", [["parts", "Parts, such as 1,2 3", "text", "1"]]],
  ["reorg", "Reorganize", "a fork that was mined apart wins", [["depth", "Blocks", "int", 2], ["drop", "Leave out (TXID)", "text", ""], ["replace", "Replace (TXID)", "text", ""], ["to", "and pay to", "text", ""], ["keep_mempool", "Confirm nothing", "check", false]]],
  ["double-spend", "Double spend", "two halves spend one coin", [["amount", "Coins", "text", "1"], ["confirmations", "Confirmations", "int", 2]]],
  ["attack", "Attack", "at the pace of the network", [["kind", "Kind", ["51", "selfish", "censor"], "51"], ["amount", "Coins", "text", "1"], ["confirmations", "Confirmations (51)", "int", 2], ["share", "Share (selfish, censor)", "float", 0.4], ["count", "Blocks (selfish)", "int", 30]]],
  ["churn", "Churn", "reorganizations until it is stopped", [["depth", "Up to blocks", "int", 2], ["seconds", "Every seconds", "int", 60]]],
  ["load", "Load", "payments between all wallets", [["rate", "A second", "float", 2], ["seconds", "For seconds", "int", 30]]],
  ["clock", "Clock", "ahead of the machine's, or behind", [["node", "Node", "node", 1], ["seconds", "Seconds", "int", 30]]],
  ["snapshot", "Snapshot", "`lode testnet restore` brings it back", [["name", "Name", "text", "one"]]],
];
const slots = { change: ["heal", "pause", "resume", "add", "start", "stop", "kill", "wipe", "partition", "reorg", "double-spend", "attack", "churn", "clock", "snapshot"], pay: ["send", "load"], mine: ["mine"] };

const news = document.getElementById("news"), main = document.getElementById("main"), top = document.getElementById("top");
function tell(kind, text, style, ...more) {
  document.querySelector(`#news [data-kind="${kind}"]`)?.remove();
  if (text) news.prepend(h("p", { "data-kind": kind, class: style }, text, ...more));
}

async function press(name, wish) {
  try {
    const response = await fetch("do/" + name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) });
    const answer = await response.json().catch(() => ({ error: t.noAnswer }));
    tell("refused", response.ok ? "" : answer.error, "warn");
  } catch { tell("refused", w.lost, "warn"); }
}
const button = (name, title, wish, style) => h("button", { type: "button", class: style, "data-do": name, onclick: () => press(name, wish) }, title);

function form([name, title, about, fields]) {
  const inputs = fields.map(([key, label, kind, value]) => {
    const input = Array.isArray(kind) ? h("select", { name: key }, kind.map(x => h("option", { value: x }, x)))
      : kind === "check" ? h("input", { type: "checkbox", name: key }) : h("input", { name: key, value, type: kind === "text" ? "text" : "number", step: kind === "float" ? "any" : 1, spellcheck: "false", autocomplete: "off" });
    return [key, kind, input, kind === "check" ? h("label", { class: "check" }, input, label) : h("label", {}, label, input)];
  });
  return h("form", { id: "do-" + name, onsubmit: event => {
    event.preventDefault();
    press(name, Object.fromEntries(inputs.map(([key, kind, input]) => [key, kind === "check" ? input.checked : kind === "text" || Array.isArray(kind) ? input.value.trim() : Number(input.value)])));
  } }, h("h3", {}, title, about && h("small", {}, about)), inputs.map(x => x[3]), h("button", { type: "submit", "data-do": name }, title));
}

// explorers are the nodes' own pages, by node.
let explorers = new Map();
const outside = (url, ...children) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...children);

function card(n) {
  const runs = ["mining", "paused", "idle"].includes(n.state), style = runs ? (n.state === "mining" ? "state good" : "state") : "state bad";
  return h("li", { class: `node part-${(n.part - 1) % 4 + 1}`, id: "node-" + n.index },
    h("h2", {}, runs ? outside(n.rpc_url + "/", `Node ${n.index}`) : `Node ${n.index}`, h("span", { class: style }, n.state)),
    rows([w.height, runs ? number(n.height) : "–"], [w.tip, runs ? h("span", { class: "mono", title: n.tip }, "…" + n.tip.slice(-12)) : "–"], [w.utxo, runs ? h("span", { class: "mono", title: n.utxo_hash }, "…" + n.utxo_hash.slice(-12)) : "–"],
      [w.peers, runs ? number(n.peers) : "–"], [w.pool, runs ? number(n.mempool) : "–"], [w.rate, runs ? scaled(n.hashrate, "H/s") : "–"], n.clock_ahead && [w.clock, `${n.clock_ahead > 0 ? "+" : ""}${n.clock_ahead} s`]),
    h("div", { class: "do" }, runs || n.state === "silent" ? [button("mine", w.mine, { node: n.index, count: 1 }), button("stop", w.stop, { node: n.index }), button("kill", w.kill, { node: n.index })] : button("start", w.start, { node: n.index }), button("wipe", w.wipe, { node: n.index })));
}

// forest draws the tree of forks, and at each tip whose it is.
function forest(tree) {
  if (!tree || tree.nodes.length === 0) return empty(w.none);
  const view = drawTree(tree), whose = new Map();
  for (const x of tree.tips) whose.set(x.tip, [...(whose.get(x.tip) || []), x.node]);
  for (const a of view.querySelectorAll("a")) {
    const hash = a.getAttribute("href").slice("#/block/".length), nodes = whose.get(hash), box = a.querySelector("rect");
    const at = (nodes || tree.tips.map(x => x.node)).map(i => explorers.get(i)).find(Boolean);
    a.setAttribute("href", at ? `${at}/#/block/${hash}` : "#");
    a.setAttribute("target", "_blank");
    a.setAttribute("rel", "noopener noreferrer");
    if (!nodes) continue;
    const text = nodes.length > 3 ? `${nodes.length} nodes` : nodes.join(" ");
    a.append(s("text", { class: "whose", x: Number(box.getAttribute("x")) + 84, y: Number(box.getAttribute("y")) + 18, "text-anchor": "end" }, s("title", {}, nodes.join(", ")), text));
  }
  return view;
}

const pill = h("span", { class: "pill" }, "…"), lead = h("p", { class: "lead" }, w.wait), nodes = h("ul", { class: "nodes" }), tree = h("div", { id: "tree" }), story = h("ol", { class: "story", id: "story", tabindex: "0", "aria-label": w.story }, h("li", {}, h("time", {}, ""), w.quiet));
const mining = h("span", {});
top.append(h("a", { class: "brand", href: "#" }, h("img", { src: "explorer/icon.svg", alt: "" }), "Lode testnet", pill), h("div", { class: "do" }, mining, button("heal", w.heal, {}), button("add", w.add, {})));
main.append(h("h1", {}, "Network"), lead, nodes, h("div", { class: "columns" }, h("div", {}, section([w.tree, h("small", {}, w.treeText)], tree), section(w.story, story)), section(w.todo, h("div", { class: "forms" }, deeds.map(form)))));

let told = false, jobs = "";
function show(state) {
  tell("problem", state.problem, "warn");
  if (state.problem) return;
  pill.textContent = state.name;
  document.title = `${state.name} · Lode testnet`;
  const up = state.nodes.filter(n => n.utxo_hash && Number("0x" + n.utxo_hash) !== 0);
  explorers = new Map(up.map(n => [n.index, n.rpc_url]));
  const one = new Set(up.map(n => n.tip)).size === 1;
  lead.replaceChildren(`${state.nodes.length} nodes, a block every ${state.block_time} s${state.link ? ", " + state.link : ""}. `, state.parts > 1 ? h("b", { class: "bad" }, w.cut(state.parts), " ") : "", up.length ? h("span", { id: "agree", class: one ? "good" : "bad" }, one ? w.agree : w.differ) : w.none);
  mining.replaceChildren(state.paused ? button("resume", w.resume, {}) : button("pause", w.pause, {}));
  const focused = document.activeElement?.closest(".node")?.id, what = document.activeElement?.dataset.do;
  nodes.replaceChildren(...state.nodes.map(card));
  if (focused) document.querySelector(`#${focused} [data-do="${what}"]`)?.focus();
  const scroll = tree.firstChild ? [tree.firstChild.scrollLeft, tree.firstChild.scrollTop] : [0, 0];
  tree.replaceChildren(forest(state.tree));
  [tree.firstChild.scrollLeft, tree.firstChild.scrollTop] = scroll;
  free();
}

// free lets be pressed what nothing that goes on stands in the way of.
function free() {
  for (const b of document.querySelectorAll("[data-do]")) b.disabled = Object.entries(slots).some(([slot, names]) => busy.includes(slot) && names.includes(b.dataset.do));
}
let busy = [];
function listen(message) {
  const m = JSON.parse(message.data);
  tell("lost", "");
  busy = Object.keys(m.jobs);
  if (m.state) show(m.state);
  for (const l of m.story || []) {
    if (!told) { story.replaceChildren(); told = true; }
    story.append(h("li", { class: l.bad && "bad" }, h("time", {}, new Date(l.time * 1000).toLocaleTimeString(t.locale)), l.text));
  }
  while (story.children.length > 300) story.firstChild.remove();
  if (m.story) story.scrollTop = story.scrollHeight;
  const names = Object.values(m.jobs).join(", ");
  if (jobs !== names) {
    jobs = names;
    tell("jobs", names && w.goesOn(names), "", " ", busy.map(slot => h("button", { class: "quiet", "data-cancel": slot, onclick: () => press("cancel", { name: slot }) }, t.stop)));
  }
  free();
}
let wait = 1000;
function follow() {
  const source = new EventSource("events");
  source.onopen = () => { wait = 1000; story.replaceChildren(); told = false; };
  source.onmessage = listen;
  source.onerror = () => {
    tell("lost", w.lost, "warn");
    if (source.readyState === EventSource.CLOSED) { setTimeout(follow, wait); wait = Math.min(2 * wait, 30000); }
  };
}
follow();
