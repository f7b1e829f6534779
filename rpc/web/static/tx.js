import { h, section, figures, rows, empty, number, coins, bytes, when, ago, link, scaled, table, short } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

export const clusterTable = list => table(t.clusterText, [[t.tx], [t.feeRate, 1], [t.fee, 1], [t.vB, 1], [t.depends]], list.map(m => [link("tx", m.txid), number(m.rate, 1), number(m.fee), number(m.vsize), m.depends.length ? m.depends.map((d, i) => [i > 0 && ", ", link("tx", d)]) : "–"]));

function why(x) {
  const w = x.wait, block = w.blocks;
  return section(t.why, h("p", {}, w.unpaid ? t.whyUnpaid : block === 1 ? t.whyFirst(number(w.rate, 1)) : t.whyAhead(scaled(w.ahead / 4, t.vB), block), " ", w.estimate ? t.whyEstimate(w.estimate) : t.whyNoEstimate),
    rows([t.since, [when(w.since), " · ", ago(w.since)]], [t.feeRate, `${number(w.rate, 2)} ${t.satvB}` + (Math.abs(w.rate - w.ownrate) > .005 ? ` (${t.ownRate} ${number(w.ownrate, 2)})` : "")], [t.replaceable, w.replaceable ? t.signalled : t.anyMay]));
}

export default function (id, query) {
  const root = h("div", {}), block = query.get("block");
  let gone = null, replacements = [];
  const draw = async () => {
    let x;
    try { x = await get(`tx/${id}` + (block ? "?block=" + block : "")); } catch (e) {
      if (!gone) throw e; // it was here, and has left the mempool: say why
      root.replaceChildren(h("h1", {}, t.tx), h("p", { class: "lead mono" }, id), section("", h("p", {}, t.left(gone.reason), " ", gone.by && link("tx", gone.by))));
      return;
    }
    const state = x.block === undefined ? t.unconfirmed : x.active ? [t.confirmedIn, " ", h("a", { href: "#/block/" + x.block }, t.block(x.height))] : [t.notActive, " ", link("block", x.block)];
    const confirmations = x.block && x.active ? x.tip - x.height + 1 : 0;
    root.replaceChildren(...[
      h("h1", {}, t.tx, h("small", { class: "state" }, h("span", { class: confirmations ? "good" : "" }, state))), h("p", { class: "lead mono" }, x.txid),
      h("p", { class: "links" }, h("a", { href: `#/why/${x.txid}` + (x.block ? "?block=" + x.block : "") }, t.whyLink), h("a", { href: `/page/raw/tx/${x.txid}` + (x.block ? "?block=" + x.block : "") }, t.raw), h("a", { href: `/page/json/tx/${x.txid}` + (x.block ? "?block=" + x.block : "") }, t.json), x.block && h("a", { href: `#/change/${x.block}?tx=${x.txid}` }, t.change)),
      section("", figures([t.confirmations, h("span", { id: "confirmations" }, number(confirmations))], [t.fee, x.fee === undefined ? "–" : number(x.fee), t.sat], [t.feeRate, x.fee === undefined ? "–" : number(x.fee / x.vsize, 2), t.satvB], [t.size, number(x.vsize), t.vB], [t.value, coins(x.out.reduce((n, o) => n + o.value, 0)), t.coin])),
      x.wait && why(x),
      h("div", { class: "grid" }, h("section", { class: "w6" }, h("h2", {}, t.inputs, h("small", {}, number(x.ins))), x.in.map(i => x.coinbase
        ? h("div", { class: "coin" }, h("span", {}, t.coinbase, x.text && [": ", h("span", { class: "mono coinbase" }, x.text)]), h("span", {}, ""))
        : h("div", { class: "coin" }, h("span", {}, i.address ? h("a", { class: "mono", href: "#/address/" + i.address }, i.address) : t.unknown, h("br"), h("small", { class: "soft" }, h("a", { class: "mono", href: "#/tx/" + i.txid }, short(i.txid)), ":" + i.vout)), h("span", {}, i.value < 0 ? "–" : coins(i.value))))),
        h("section", { class: "w6" }, h("h2", {}, t.outputs, h("small", {}, number(x.outs))), x.out.map(o => h("div", { class: "coin" }, h("span", {}, o.address ? h("a", { class: "mono", href: "#/address/" + o.address }, o.address) : [t.data, ": ", h("span", { class: "mono" }, o.data || o.script)], o.by && [h("br"), h("small", { class: "soft" }, t.spentBy, " ", link("tx", o.by))]), h("span", {}, coins(o.value)))))),
      x.wait && x.wait.cluster.length > 1 && section([t.cluster(x.wait.cluster.length), h("small", {}, t.clusterText)], clusterTable(x.wait.cluster)),
      replacements.length > 0 && section(t.replacements, replacements.map(r => h("p", {}, link("tx", r)))),
      section("", rows(["wtxid", h("span", { class: "mono" }, x.wtxid)], [t.version, x.version], [t.lockTime, number(x.locktime)], [t.weight, number(x.weight)], [t.size, bytes(x.size)], ...x.in.filter(i => i.witness.length).slice(0, 4).map((i, n) => [t.witnessOf(n), h("span", { class: "mono" }, i.witness.join(" "))]))),
    ].filter(Boolean));
  };
  const on = (kinds, list) => {
    const own = list.filter(e => e.topic === "mempool" && (e.txid === id || e.by === id));
    for (const e of own) {
      if (e.type === "out" && e.txid === id) gone = e;
      if (e.type === "out" && e.by === id && e.reason === "replaced") replacements.push(e.txid);
    }
    return kinds.blocks || own.length > 0;
  };
  return { root, draw, on, title: t.tx + " " + id.slice(0, 12) };
}
