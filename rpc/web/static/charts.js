// Small charts of lines and bars.
import { h, s, number, small, span, scaled, hashes, difficulty, empty } from "./dom.js";
import { t } from "./text.js";

// A chart is drawn as wide as it is shown, roughly: its letters keep their size.
let W = 560;
const fit = () => { W = innerWidth < 560 ? 330 : innerWidth <= 900 ? 760 : 560; };
fit();
addEventListener("resize", fit);

const chart = (label, height, ...children) => s("svg", { viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": label }, ...children);
const label = (x, y, text, anchor = "start", kind) => s("text", { x, y, "text-anchor": anchor, class: kind }, text);

// areas draws the mempool from the best paying on: the width is size, the height the
// fee rate (logarithmic), and a line stands where the next block ends.
export function areas(pool) {
  const H = 170, base = H - 22, top = 14;
  const bands = pool.bands.filter(b => b.vbytes > 0).reverse();
  if (!bands.length) return empty(t.mempoolEmpty);
  const few = pool.vbytes < pool.limit * 0.4, all = few ? pool.vbytes * 1.04 : Math.max(pool.vbytes, pool.limit * 1.15), x = v => v / all * W; // few are drawn larger
  const level = rate => base - Math.max(4, Math.log10(Math.max(rate, 0.1) * 10) / 4 * (base - top));
  let at = 0;
  const parts = bands.map(b => {
    const begin = at; at += b.vbytes;
    const w = Math.max(1.5, x(at) - x(begin)), rate = b.fees / b.vbytes, y = level(rate);
    return [s("rect", { class: "area", x: x(begin), y, width: w, height: base - y, opacity: (0.28 + 0.72 * Math.min(1, Math.log10(Math.max(rate, 0.1) * 10) / 3.3)).toFixed(2) }, s("title", {}, `${number(rate, 1)} ${t.satvB} · ${number(b.vbytes)} ${t.vB}`)),
      w > 46 && label(x(begin) + w / 2, y - 4, number(rate, rate < 10 ? 1 : 0), "middle")];
  });
  const edge = x(pool.limit);
  return chart(t.areas, H, ...parts.flat(),
    s("line", { class: "axis", x1: 0, x2: W, y1: base, y2: base }),
    ...few ? [label(W, 12, t.allFit(number(100 * pool.vbytes / pool.limit, 1)), "end", "edge-text")] : [s("line", { class: "edge", x1: edge, x2: edge, y1: 4, y2: base }), label(edge > W / 2 ? edge - 6 : edge + 6, 12, t.edge, edge > W / 2 ? "end" : "start", "edge-text")],
    label(0, H - 6, "0"), label(W, H - 6, scaled(all, t.vB), "end"));
}

// intervals is a histogram of the times between blocks, with what chance would have.
export function intervals(times, spacing) {
  const gaps = times.slice(1).map((time, i) => Math.max(0, time - times[i]));
  if (gaps.length < 3) return { node: empty(t.chartEmpty) };
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length || spacing;
  const H = 160, base = H - 22, count = 20, width = Math.max(mean, 0.25) * 5 / count, bars = new Array(count).fill(0);
  for (const g of gaps) bars[Math.min(count - 1, Math.floor(g / width))]++;
  const expected = i => gaps.length * (Math.exp(-i * width / mean) - (i === count - 1 ? 0 : Math.exp(-(i + 1) * width / mean)));
  const most = Math.max(...bars, expected(0)), y = v => base - v / most * (base - 10), step = W / count;
  const line = bars.map((_, i) => `${((i + .5) * step).toFixed(1)},${y(expected(i)).toFixed(1)}`).join(" ");
  return { mean, count: gaps.length, node: chart(t.intervals, H,
    ...bars.map((v, i) => s("rect", { class: "area", x: i * step + 1, y: y(v), width: step - 2, height: base - y(v), rx: 1.5, opacity: .8 }, s("title", {}, `${span(i * width)}: ${v}`))),
    s("polyline", { class: "expect", points: line }), s("line", { class: "axis", x1: 0, x2: W, y1: base, y2: base }),
    label(0, H - 6, "0"), label(W / 5, H - 6, span(mean), "middle"), label(W, H - 6, "> " + span(4.75 * mean), "end")) };
}

function lines(name, values, show) {
  const H = 130, base = H - 20, finite = values.filter(Number.isFinite);
  if (finite.length < 3) return empty(t.chartEmpty);
  let low = Math.min(...finite), high = Math.max(...finite);
  if (high - low < high * 0.02) { low *= .9; high = high * 1.1 || 1; }
  const x = i => i / (values.length - 1) * W, y = v => base - (v - low) / (high - low) * (base - 16);
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`);
  return chart(`${name}: ${show(finite.at(-1))}`, H, s("polygon", { class: "area", opacity: .1, points: `0,${base} ${points.join(" ")} ${W},${base}` }), s("polyline", { class: "line", points: points.join(" ") }),
    s("line", { class: "axis", x1: 0, x2: W, y1: base, y2: base }), label(0, 10, show(high)), label(0, H - 4, show(low)), label(W, H - 4, show(finite.at(-1)), "end", "edge-text"));
}

// rates are the hash rates over windows of blocks.
export function rates(times, bits) {
  const window = Math.max(2, Math.min(36, times.length >> 3)), list = [];
  for (let i = window; i < times.length; i++) {
    let work = 0;
    for (let j = i - window + 1; j <= i; j++) work += hashes(bits[j]);
    list.push(work / Math.max(1, times[i] - times[i - window]));
  }
  return list;
}
export const hashRate = (times, bits) => lines(t.hashRate, rates(times, bits), v => scaled(v, "H/s"));
export const difficulties = bits => lines(t.difficulty, bits.map(difficulty), small);

// peerMap puts peers at a distance of their latency: theirs on the left, ours on the right.
export function peerMap(peers) {
  const H = 170, cx = W / 2, cy = H - 16, radius = ms => 22 + Math.min(1, Math.log10(1 + ms) / 3.2) * (H - 48);
  const seen = {}, wide = Math.min(1.45, (W / 2 - 4) / radius(1000));
  const spots = peers.map(p => {
    const ms = (p.pingtime ?? p.minping ?? 0) * 1000, side = p.inbound ? "in" : "out", k = seen[side] = (seen[side] || 0) + 1;
    const angle = (p.inbound ? Math.PI : 0) + (p.inbound ? 1 : -1) * (0.18 + (k * 0.618 % 1) * 1.15), r = radius(ms);
    return s("a", { href: "#/peer/" + p.id }, s("title", {}, `${t.peer(p.id)} · ${p.subver || ""} · ${number(ms, 1)} ms`), s("circle", { class: p.inbound ? "dot in" : "dot", cx: cx + Math.cos(angle) * r * wide, cy: cy + Math.sin(angle) * r, r: 5 }));
  });
  const ring = ms => { const r = radius(ms); return [s("path", { class: "ring", d: `M${cx - r * wide},${cy}A${r * wide},${r} 0 0 1 ${cx + r * wide},${cy}` }), label(cx, cy - r - 3, ms + " ms", "middle")]; };
  return s("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": t.latency }, ...[1, 10, 100, 1000].flatMap(ring), s("circle", { cx, cy, r: 7, class: "area" }), ...spots, label(8, H - 4, t.inbound), label(W - 8, H - 4, t.outbound, "end"));
}
