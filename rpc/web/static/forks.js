import { h, s, section, empty, number, link, short, table, hashText } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

const ROW = 40, LANE = 172, BOX = 150, TALL = 28;

// lanes gives each branch beside the active chain a column of its own for its heights.
function lanes(nodes) {
  const by = new Map(nodes.map(n => [n.hash, n])), children = new Map();
  for (const n of nodes) children.set(n.prev, [...(children.get(n.prev) || []), n]);
  const taken = [], lane = new Map();
  const place = (n, least) => { // follows a branch upwards, as long as it is the first child
    const branch = [n];
    for (let next = n; (next = (children.get(next.hash) || []).find(c => !c.active));) branch.push(next);
    let column = least;
    while ((taken[column] || []).some(([a, b]) => a <= branch.at(-1).height && b >= n.height - 1)) column++;
    (taken[column] = taken[column] || []).push([n.height - 1, branch.at(-1).height]);
    for (const b of branch) { lane.set(b.hash, column); for (const c of children.get(b.hash) || []) if (!c.active && !branch.includes(c)) place(c, column + 1); }
  };
  for (const n of nodes) {
    if (n.active) lane.set(n.hash, 0);
    else if (!by.has(n.prev) || by.get(n.prev).active) place(n, 1);
  }
  return { by, lane, columns: Math.max(0, ...lane.values()) + 1 };
}

export function drawTree(tree) {
  const { by, lane, columns } = lanes(tree.nodes);
  const busy = new Set(tree.nodes.filter(n => !n.active).flatMap(n => [n.height - 1, n.height, n.height + 1]));
  const top = Math.max(...tree.nodes.map(n => n.height)), rowsOf = new Map();
  const parts = [];
  let y = 8, skipped = 0;
  const gap = () => { if (!skipped) return; parts.push(s("text", { class: "soft", x: 14, y: y + 12 }, t.gap(skipped))); y += 26; skipped = 0; };
  for (let height = top; height >= tree.from; height--) {
    if (height < tree.height - 7 && !busy.has(height) && height !== tree.from) { skipped++; continue; }
    gap();
    rowsOf.set(height, y);
    y += ROW;
  }
  const at = n => [lane.get(n.hash) * LANE + 2, rowsOf.get(n.height)];
  for (const n of tree.nodes) {
    if (!rowsOf.has(n.height)) continue;
    const [x, y0] = at(n), parent = by.get(n.prev);
    if (!parent) continue;
    const below = rowsOf.get(parent.height) ?? y0 + ROW, px = lane.get(parent.hash) * LANE + 2, cx = x + BOX / 2, pcx = px + BOX / 2;
    parts.unshift(s("path", { class: n.active ? "link on" : "link", d: `M${cx},${y0 + TALL}C${cx},${y0 + ROW} ${pcx},${below - 12} ${pcx},${below}` }));
  }
  for (const n of tree.nodes) {
    if (!rowsOf.has(n.height)) continue;
    const [x, y0] = at(n), kind = [n.active && "on", n.hash === tree.tip && "tip", (n.was || n.bad || n.banned) && "was", n.header && "head"].filter(Boolean).join(" ");
    const state = n.active ? t.onChain : n.bad ? t.badBlock : n.was ? t.wasChain : n.header ? t.headerOnly : t.offChain;
    parts.push(s("g", { class: kind }, s("a", { href: "#/block/" + n.hash }, s("title", {}, `${n.hash}\n${state}`), s("rect", { x, y: y0, width: BOX, height: TALL, rx: 8 }), s("text", { x: x + 11, y: y0 + 18 }, number(n.height) + " "), s("text", { x: x + BOX - 11, y: y0 + 18, "text-anchor": "end", class: "soft" }, "…" + n.hash.slice(-6)))));
  }
  const width = Math.max(columns * LANE, LANE), svg = s("svg", { class: "tree", viewBox: `0 0 ${width} ${y + 4}`, role: "group", "aria-label": t.forks }, ...parts);
  svg.style.width = width + "px";
  svg.style.maxWidth = "none";
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t.forks }, svg);
}

const fateText = f => f.state === "pool" ? h("span", { class: "good" }, t.fatePool) : f.state === "confirmed" ? [t.fateConfirmed + " ", link("block", f.block)] : [h("span", { class: "bad" }, t.fateLost), f.to && [" – " + t.fateTo + " ", link("tx", f.to)]];

function fates(f) {
  return section(h("span", {}, t.fates(""), hashText(f.hash), h("small", {}, t.block(f.height))), f.active ? empty(t.fateActive) : f.fates.length === 0 ? empty(t.fateNone) : h("div", { class: "fates" }, table(t.fates(short(f.hash)), [[t.tx], [t.fateColumn]], f.fates.map(x => [link("tx", x.txid + "?block=" + f.hash, x.txid.slice(0, 16) + "…"), fateText(x)]))));
}

export default function (id) {
  const root = h("div", {});
  const draw = async () => {
    const tree = await get("tree?depth=60"), beside = tree.nodes.filter(n => !n.active);
    const wanted = [...new Set([id, ...beside.filter(n => n.was).reverse().map(n => n.hash)])].filter(Boolean).slice(0, 4);
    const told = (await Promise.all(wanted.map(hash => get("fate/" + hash).catch(() => null)))).filter(Boolean);
    root.replaceChildren(h("h1", {}, t.forks, h("small", {}, beside.length ? t.forksMany(beside.length) : t.forksOne(tree.height - tree.from))), h("p", { class: "lead" }, t.leadForks), section("", drawTree(tree)), ...told.map(fates));
  };
  return { root, draw, on: kinds => kinds.blocks, title: t.forks };
}
