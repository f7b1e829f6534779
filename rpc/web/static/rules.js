import { h, section, rows } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

const words = name => name.replaceAll("_", " ");
const show = v => v === null || v === "" || Array.isArray(v) && !v.length ? t.none : v === true ? t.yes : v === false ? t.no : typeof v === "object" ? h("pre", {}, JSON.stringify(v, null, 1)) : h("span", { class: typeof v === "string" ? "mono" : "" }, typeof v === "number" ? v.toLocaleString(t.locale) : v);
const list = o => rows(...Object.entries(o).map(([k, v]) => [words(k), show(v)]));

export default function () {
  const root = h("div", {});
  const draw = async () => {
    const r = await get("rules");
    root.replaceChildren(h("h1", {}, t.rules, h("small", {}, r.name)), h("p", { class: "lead" }, t.leadRules), section("", rows([t.rulesHash, h("span", { class: "mono" }, r.id)], [t.genesis, h("a", { class: "mono", href: "#/block/" + r.genesis }, r.genesis)])), section(t.rules, list(r.rules)), section(t.defaults, list(r.defaults)));
  };
  return { root, draw, on: () => false, title: t.rules };
}
