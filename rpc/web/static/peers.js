import { h, section, rows, empty, table, number, bytes, when, ago } from "./dom.js";
import { get } from "./api.js";
import { peerMap } from "./charts.js";
import { t } from "./text.js";

const ms = p => p.pingtime === undefined && p.minping === undefined ? "–" : number((p.pingtime ?? p.minping) * 1000, 1) + " ms";

export default function (id, query, kind) {
  const root = h("div", {});
  const one = p => [h("h1", {}, t.peer(p.id), h("small", {}, p.inbound ? t.inbound : t.outbound)), section("", rows([t.agent, h("span", { class: "mono agent" }, p.subver)], p.addr && [t.addr, h("span", { class: "mono" }, p.addr)], [t.kind, p.connection_type], [t.transport, p.transport_protocol_type], [t.version, p.version], [t.services, (p.servicesnames || []).join(", ")], [t.ping, ms(p)], [t.synced, number(p.synced_blocks)], [t.bytesIn, bytes(p.bytesrecv)], [t.bytesOut, bytes(p.bytessent)], [t.connected, [when(p.conntime), " · ", ago(p.conntime)]]))];
  const draw = async () => {
    const { peers, hidden } = await get("peers");
    if (kind === "peer") {
      const p = peers.find(p => String(p.id) === id);
      root.replaceChildren(...(p ? one(p) : [h("h1", {}, t.peer(id)), empty(t.leadPeer)]));
      return;
    }
    root.replaceChildren(...[h("h1", {}, t.peers, h("small", {}, number(peers.length))), h("p", { class: "lead" }, t.leadPeers, hidden && " " + t.peersHidden), peers.length === 0 ? section("", empty(t.peersEmpty)) : section([t.latency, h("small", {}, t.latencyText)], peerMap(peers)),
      peers.length > 0 && section("", table(t.peers, [["#", 1], [t.direction], [t.agent], ...hidden ? [] : [[t.addr]], [t.ping, 1], [t.synced, 1], [t.bytesIn, 1], [t.bytesOut, 1]], peers.map(p => [h("a", { href: "#/peer/" + p.id }, p.id), p.inbound ? t.in : t.out, h("span", { class: "agent" }, p.subver), ...hidden ? [] : [h("span", { class: "mono" }, p.addr)], ms(p), number(p.synced_blocks), bytes(p.bytesrecv), bytes(p.bytessent)])))].filter(Boolean));
  };
  const timer = setInterval(() => root.isConnected ? draw().catch(() => {}) : clearInterval(timer), 5000);
  return { root, draw, on: kinds => kinds.blocks, title: t.peers };
}
