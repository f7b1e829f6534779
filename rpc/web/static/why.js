// Why a block or a transaction is what it is, in the words of the rules themselves.
import { h, section, empty, rows, number, link } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

// explanation draws what the rules said: the verdict, then each rule.
export function explanation(a) {
  const good = a.verdict === "valid", known = good && a.place !== "nowhere";
  const summary = good ? (known ? t.verdictKnown(a.place) : t.verdictOK(a.kind)) : a.verdict === "open" ? t.verdictOpen : t.verdictNo(a.kind);
  return [
    h("p", {}, h("b", { class: good ? "good" : a.verdict === "open" ? "" : "bad" }, summary), a.reason && [" ", h("code", { class: "mono", id: "reason" }, a.reason)]),
    a.detail && a.detail !== a.reason && h("p", { class: "soft" }, a.detail),
    (a.waits || []).length > 0 && [h("h3", {}, t.waits), h("ul", {}, a.waits.map(w => h("li", {}, w.text)))],
    a.steps.length === 0 ? empty(t.noRules) : h("ol", { class: "verdict" }, a.steps.map(s => h("li", { class: s.ok ? "" : "no" },
      s.text, s.times > 1 && h("span", { class: "soft" }, " ", t.times(s.times)),
      h("div", { class: "soft" }, s.saw.map((v, i) => [i > 0 && " · ", v.name, " ", h("span", { class: "mono" }, v.value)])),
      h("div", { class: "soft" }, s.source, " · ", h("span", { class: "mono" }, s.code), " · ", h("span", { class: "mono" }, s.rule)),
      s.problem && h("div", { class: "bad mono" }, s.problem)))),
  ];
}

export default function (id, query) {
  const root = h("div", {}), block = query.get("block");
  const draw = async () => {
    const a = await get(`why/${id}` + (block ? "?block=" + block : "")), kind = a.kind === "transaction" ? "tx" : "block";
    root.replaceChildren(h("h1", {}, t.whyTitle, h("small", {}, h("a", { href: `#/${kind}/${a.id}` + (a.block ? "?block=" + a.block : "") }, kind === "tx" ? t.tx : a.height === undefined ? t.block("") : t.block(a.height)))),
      h("p", { class: "lead" }, t.leadWhy),
      section("", rows([t.hash, h("span", { class: "mono" }, a.id)], [t.place, t.places(a.place)], a.block && [t.confirmedIn, link("block", a.block)])),
      section([t.rulesApplied, h("small", {}, number(a.steps.length))], explanation(a).flat(9).filter(Boolean)));
  };
  return { root, draw, on: kinds => kinds.blocks, title: t.whyTitle };
}
