import { h, section, figures, empty, code, number, coins, small, span, scaled, ago, difficulty, link } from "./dom.js";
import { get, post } from "./api.js";
import { areas, intervals, hashRate, difficulties, rates, peerMap } from "./charts.js";
import { t } from "./text.js";

let newest = null; // the highest block that was shown: higher ones arrive

const feesOf = sat => sat ? coins(sat) + " " + t.fees.toLowerCase() : t.noFees;

const card = (b, limit, fresh) => h("li", { class: fresh && "new" }, h("a", { class: "block", href: "#/block/" + b.hash },
  h("b", {}, number(b.height)), h("span", { class: "main" }, t.txs(b.txs)), h("span", {}, feesOf(b.fees)), h("span", {}, ago(b.time)), h("span", { title: b.miner }, b.miner || " "), fillOf(b.weight, limit)));

function fillOf(part, all) {
  const bar = h("div", { class: "fill" });
  bar.style.width = Math.min(100, 100 * part / all) + "%";
  return bar;
}

function strip(home, pool) {
  const before = newest;
  newest = home.height;
  const next = h("li", {}, h("a", { class: "block next", href: "#/mempool" }, h("b", {}, t.nextBlock), h("span", { class: "main" }, t.nextText(pool.count)), h("span", {}, feesOf(pool.next.fees)), h("span", {}, pool.count ? "≥ " + number(pool.next.rate, 1) + " " + t.satvB : " "), h("span", {}, " "), fillOf(pool.next.vbytes, pool.limit)));
  return h("ol", { class: "strip", "aria-label": t.blocks, tabindex: "0" }, next, home.blocks.map(b => card(b, home.maxweight, before !== null && b.height > before)));
}

// mineForm has the node mine, on networks for playing.
export function mineForm() {
  const count = h("input", { type: "number", min: 1, max: 100, value: 1, "aria-label": t.mineCount, name: "count" }), to = h("input", { placeholder: t.mineTo, "aria-label": t.mineTo, name: "address", spellcheck: "false", autocomplete: "off" });
  const say = h("span", { role: "status", class: "soft" }), button = h("button", { class: "main", type: "submit", id: "mine" }, t.mineDo(1));
  count.style.flex = "0 0 84px";
  count.addEventListener("input", () => { button.textContent = t.mineDo(+count.value || 1); });
  const send = async event => {
    event.preventDefault();
    button.disabled = true;
    try { say.textContent = t.mined((await post("mine", { count: +count.value || 1, address: to.value.trim() })).hashes.length); } catch (e) { say.textContent = e.message; }
    button.disabled = false;
  };
  return section([t.mineTitle, h("small", {}, t.mineText)], h("form", { class: "do", onsubmit: send }, count, to, button, say));
}

export default function () {
  const root = h("div", {}), live = h("div", {}), form = h("div", {});
  root.append(live, form);
  const draw = async () => {
    const [home, pool, chart, peers] = await Promise.all([get("home"), get("mempool"), get("chart?count=500"), get("peers")]);
    const times = chart.times.slice(1), bits = chart.bits.slice(1), gaps = intervals(times, home.spacing), rate = rates(times, bits).at(-1), tip = home.blocks[0];
    const state = home.height === 0 ? t.noBlocks : home.syncing && home.headers > home.height ? t.syncing(home.height, home.headers) : t.upToDate;
    const scroll = live.querySelector(".strip")?.scrollLeft || 0;
    live.replaceChildren(
      h("h1", {}, t.block(home.height), h("small", {}, home.height > 0 ? ago(home.time) : "")), h("p", { class: "lead" }, state + ". " + t.leadHome(span(home.spacing))),
      strip(home, pool),
      home.height === 0 && home.playground ? empty(t.mineFirst, " ", code("lode rpc generatetoaddress 1 ADDRESS"), ".") : "",
      h("div", { class: "grid" },
        h("section", { class: "w7" }, h("h2", {}, t.mempool, h("small", {}, t.areas)), areas(pool)),
        h("section", { class: "w5" }, h("h2", {}, t.network), figures(
          [t.hashRate, rate ? scaled(rate, "H/s") : "–"], [t.difficulty, small(difficulty(tip.bits))], [t.stale, number(home.stale.of ? 100 * home.stale.stale / (home.stale.of + home.stale.stale) : 0, 1), "%"],
          [t.peers, home.in + home.out, `${home.in} ${t.in}, ${home.out} ${t.out}`], [t.waiting, number(home.mempool.count), home.mempool.count ? scaled(home.mempool.vbytes, t.vB) : ""], [t.mempoolFloor, number(home.mempool.minrate / 1000, 2), t.satvB])),
        h("section", { class: "w6" }, h("h2", {}, t.intervals, gaps.count && h("small", {}, t.intervalsText(gaps.count, span(gaps.mean)))), gaps.node),
        h("section", { class: "w6" }, h("h2", {}, t.latency, h("small", {}, t.latencyText)), peers.peers.length ? peerMap(peers.peers) : empty(t.peersEmpty)),
        h("section", { class: "w6" }, h("h2", {}, t.chartHash), hashRate(times, bits)), h("section", { class: "w6" }, h("h2", {}, t.chartDiff), difficulties(bits))));
    live.querySelector(".strip").scrollLeft = scroll;
    if (home.playground && !form.firstChild) form.append(mineForm());
  };
  return { root, draw, on: kinds => kinds.blocks || kinds.mempool, title: t.home };
}
