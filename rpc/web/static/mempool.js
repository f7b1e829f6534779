import { h, section, figures, empty, number, coins, bytes, scaled } from "./dom.js";
import { get } from "./api.js";
import { areas } from "./charts.js";
import { clusterTable } from "./tx.js";
import { t } from "./text.js";

export default function () {
  const root = h("div", {});
  const draw = async () => {
    const p = await get("mempool");
    const clusters = p.clusters.filter(c => c.length > 1), single = p.clusters.filter(c => c.length === 1).map(c => c[0]);
    root.replaceChildren(...[
      h("h1", {}, t.mempool), h("p", { class: "lead" }, t.areas + "."),
      section("", figures([t.waiting, number(p.count)], [t.size, scaled(p.vbytes, t.vB)], [t.fees, coins(p.fees), t.coin], [t.mempoolFloor, number(p.minrate / 1000, 2), t.satvB], [t.memory, bytes(p.memory), t.of("", bytes(p.max)).trim()])),
      section("", areas(p)),
      section([t.nextBlock, h("small", {}, t.txsShort)], figures([t.size, scaled(p.next.vbytes, t.vB)], [t.fees, coins(p.next.fees), t.coin], [t.feeRate, p.count ? "≥ " + number(p.next.rate, 1) : "–", t.satvB])),
      p.count > 0 && section(t.clusters, clusters.map(c => [h("h2", {}, t.cluster(c.length)), clusterTable(c), h("br")]), single.length > 0 && clusterTable(single)),
    ].filter(Boolean));
  };
  return { root, draw, on: kinds => kinds.blocks || kinds.mempool, title: t.mempool };
}
