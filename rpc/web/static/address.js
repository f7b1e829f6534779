import { h, section, figures, rows, empty, table, number, coins, link } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

export default function (id, query) {
  const root = h("div", {}), from = query.get("from");
  const draw = async () => {
    const a = await get(`address/${encodeURIComponent(id)}` + (from ? "?from=" + from : ""));
    root.replaceChildren(...[
      h("h1", {}, t.address), h("p", { class: "lead mono" }, a.address),
      a.missing ? section("", empty(a.missing)) : section("", figures([t.balance, coins(a.received - a.spent), t.coin], [t.received, coins(a.received), t.coin], [t.spent, coins(a.spent), t.coin], [t.txsShort, number(a.count)])),
      !a.missing && section(t.history, table(t.history, [[t.height, 1], [t.tx], [t.received, 1], [t.spent, 1]], a.txs.map(x => [h("a", { href: "#/block/" + x.height }, number(x.height)), link("tx", x.txid), x.received ? coins(x.received) : "–", x.spent ? coins(x.spent) : "–"])),
        a.more && h("p", { class: "links" }, h("a", { href: `#/address/${id}?from=${a.txs.at(-1).height}` }, t.older + " →"))),
      section("", rows([t.script, h("span", { class: "mono" }, a.script)])),
    ].filter(Boolean));
  };
  return { root, draw, on: kinds => kinds.blocks, title: t.address };
}
