import { h, section, figures, rows, empty, table, number, coins, small, bytes, when, ago, difficulty, link } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

export default function (id, query) {
  const root = h("div", {}), from = +(query.get("from") || 0);
  const draw = async () => {
    const b = await get(`block/${id}?from=${from}`);
    const state = b.active ? t.onChain : b.bad ? t.badBlock : b.banned ? t.banned : b.was ? t.wasChain : t.offChain;
    const page = (to, name) => h("a", { href: `#/block/${id}?from=${to}` }, name);
    root.replaceChildren(...[
      h("h1", {}, t.block(b.height), h("small", {}, h("span", { class: b.active ? "good" : "bad" }, state))), h("p", { class: "lead mono" }, b.hash),
      h("p", { class: "links" }, b.height > 0 && h("a", { href: "#/block/" + b.prev }, "← " + t.prev), b.next.length > 0 && h("a", { href: "#/block/" + b.next[0].hash }, t.next + " →"),
        h("a", { href: "#/why/" + b.hash }, t.whyLink), h("a", { href: "/page/raw/block/" + b.hash }, t.raw), h("a", { href: "/page/json/block/" + b.hash }, t.json), b.have && h("a", { href: "#/change/" + b.hash }, t.change), !b.active && b.have && h("a", { href: "#/forks/" + b.hash }, t.reorgLink)),
      section("", figures([t.confirmations, b.active ? number(b.tip - b.height + 1) : "0"], [t.txsShort, number(b.txs)], [t.fees, b.fees === undefined ? "–" : coins(b.fees), t.coin], [t.size, b.size === undefined ? "–" : bytes(b.size)], [t.weight, b.weight === undefined ? "–" : number(100 * b.weight / b.maxweight, 1), "% " + t.of("", "").trim() + " " + number(b.maxweight)], [t.difficulty, small(difficulty(b.bits))])),
      section(t.header, rows([t.time, [when(b.time), " · ", ago(b.time)]], [t.median, when(b.median)], b.miner && [t.coinbaseText, h("span", { class: "mono" }, b.miner)], [t.prev, h("a", { class: "mono", href: "#/block/" + b.prev }, b.prev)], [t.merkle, h("span", { class: "mono" }, b.merkle)],
        [t.version, h("span", { class: "mono" }, "0x" + (b.version >>> 0).toString(16).padStart(8, "0"))], [t.bits, h("span", { class: "mono" }, "0x" + b.bits.toString(16).padStart(8, "0"))], [t.nonce, number(b.nonce)], [t.subsidy, coins(b.subsidy) + " " + t.coin], [t.work, h("span", { class: "mono" }, b.work)])),
      b.missing ? section(t.txsShort, empty(b.missing)) : section([t.txsShort, h("small", {}, number(b.txs))],
        table(t.txsShort, [["#", 1], [t.tx], [t.inputs, 1], [t.outputs, 1], [t.vB, 1], [t.value, 1], [t.feeRate, 1]], b.rows.map((x, i) => [number(from + i), link("tx", `${x.txid}?block=${b.hash}`, x.txid.slice(0, 12) + "…" + x.txid.slice(-6)), number(x.in), number(x.out), number(x.vsize), coins(x.value), from + i === 0 ? h("span", { class: "soft" }, t.coinbase) : x.fee < 0 ? "–" : number(x.fee / x.vsize, 1)])),
        b.txs > b.rows.length && h("p", { class: "links" }, from > 0 && page(Math.max(0, from - 100), "← " + t.newer), from + b.rows.length < b.txs && page(from + 100, t.more + " →"))),
    ].filter(Boolean));
  };
  return { root, draw, on: kinds => kinds.blocks, title: t.block(0).replace(/ 0$/, "") + " " + String(id).slice(0, 12) };
}
