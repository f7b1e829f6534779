import { h, section, figures, empty, code, table, number, scaled, ago } from "./dom.js";
import { get } from "./api.js";
import { t } from "./text.js";

export default function () {
  const root = h("div", {});
  const draw = async () => {
    const { pool: p, missing } = await get("pool");
    const head = [h("h1", {}, t.miners), h("p", { class: "lead" }, t.leadPool)];
    if (missing) { root.replaceChildren(...head, section("", empty(t.poolMissing, " ", code("--stratum 127.0.0.1:3333"), "."))); return; }
    root.replaceChildren(...head, section("", figures([t.connections, number(p.connections)], [t.hashRate, scaled(p.hashrate, "H/s")], [t.shares, number(p.shares.accepted)], [t.poolBlocks, number(p.blocks)], [t.window, number(100 * p.window.filled / Math.max(1, p.window.size), 0), "%"])),
      section(t.payouts, p.payouts.length ? table(t.payouts, [[t.address], [t.amount, 1]], p.payouts.map(x => [h("a", { class: "mono", href: "#/address/" + x.address }, x.address), x.amount])) : empty(t.noWorkers)),
      section(t.workers, p.workers.length ? table(t.workers, [[t.workers], [t.connections, 1], [t.hashRate, 1], [t.shares, 1], [t.lastShare, 1]], p.workers.map(w => [h("span", { class: "mono" }, w.name), w.connections, scaled(w.hashrate, "H/s"), number(w.shares.accepted), w.lastshare ? ago(w.lastshare) : "–"])) : empty(t.noWorkers)));
  };
  const timer = setInterval(() => root.isConnected ? draw().catch(() => {}) : clearInterval(timer), 5000);
  return { root, draw, on: kinds => kinds.blocks, title: t.miners };
}
