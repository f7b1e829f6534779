// Change anything: the header of a block and the bytes of its transactions. Hashes are
// computed here; the node is asked when the reader says so.
import { h, section, rows, empty, number, scaled, span, hashes, short } from "./dom.js";
import { get, post, text } from "./api.js";
import { hash256 } from "./sha256.js";
import { fromHex, toHex, hashHex, hashBytes, header, parseBlock, parseTx, block, merkleRoot, target, meets } from "./codec.js";
import { explanation } from "./why.js";
import { t } from "./text.js";

const integer = (low, high) => v => { const n = /^0x[0-9a-f]+$/i.test(v) ? parseInt(v, 16) : /^-?\d+$/.test(v) ? Number(v) : NaN; return n >= low && n <= high ? n : null; };
const fields = [
  ["version", t.version, v => v, v => { const n = integer(-(2 ** 31), 2 ** 32 - 1)(v); return n === null ? null : n | 0; }], ["prev", t.prev, hashHex, hashBytes], ["merkle", t.merkle, hashHex, hashBytes],
  ["time", t.time, v => v, integer(0, 2 ** 32 - 1)], ["bits", t.bits, v => "0x" + v.toString(16).padStart(8, "0"), integer(0, 2 ** 32 - 1)], ["nonce", t.nonce, v => v, integer(0, 2 ** 32 - 1)],
];
const pause = () => new Promise(done => setTimeout(done));
const MOST = 2 ** 24; // tries that a browser makes at once

// search tries nonces until the hash is low enough.
async function search(head, tell, stopped) {
  const goal = target(head.bits), begin = performance.now(), bytes = header(head), view = new DataView(bytes.buffer);
  for (let tries = 1, nonce = 0; tries <= MOST && !stopped(); tries++, nonce = nonce + 1 >>> 0) {
    view.setUint32(76, nonce, true);
    if (meets(hash256(bytes), goal)) return { nonce, tries, seconds: (performance.now() - begin) / 1000 };
    if (tries % 4096 === 0) { tell(tries, tries / (performance.now() - begin) * 1000); await pause(); }
  }
  return null;
}

export default function (id, query) {
  const root = h("div", {});
  let drawn = false;
  const draw = async () => {
    if (drawn) return;
    const info = await get("block/" + id), raw = await text("raw/block/" + info.hash);
    if (raw.length > 4_000_000) { root.replaceChildren(h("h1", {}, t.change), section("", empty(t.blockTooBig))); return; }
    const later = await Promise.all(info.next.slice(0, 6).map(b => get("block/" + b.hash)));
    drawn = true;
    edit(root, info, parseBlock(fromHex(raw)), later.map(b => ({ height: b.height, hash: b.hash, head: parseHeader(b.header) })), query.get("tx"));
  };
  return { root, draw, on: () => false, title: t.change };
}

function parseHeader(hex) {
  const b = fromHex(hex), v = new DataView(b.buffer);
  return { version: v.getInt32(0, true), prev: b.slice(4, 36), merkle: b.slice(36, 68), time: v.getUint32(68, true), bits: v.getUint32(72, true), nonce: v.getUint32(76, true) };
}

function edit(root, info, original, later, wanted) {
  const head = { ...original.head }, txs = original.txs.map(tx => ({ ...tx })), chain = later.map(b => ({ ...b, head: { ...b.head } }));
  let picked = Math.max(0, original.txs.findIndex(tx => hashHex(tx.id) === wanted)), running = false, bad = false;
  const inputs = {}, say = h("p", { role: "status", class: "soft" }), now = h("dd", { class: "mono", id: "newhash" }), work = h("dd", { id: "work" }), list = h("ol", { class: "chain", id: "later" }), verdict = h("div", { id: "verdict", "aria-live": "polite" });
  const area = h("textarea", { rows: 9, spellcheck: "false", id: "txbytes", "aria-label": t.txBytes }), txid = h("span", { class: "mono" }), root2 = h("span", { class: "mono", id: "root" });
  const choose = h("select", { "aria-label": t.pick, id: "pick" }, txs.slice(0, 500).map((tx, i) => h("option", { value: i }, `${i}: ${short(hashHex(tx.id))}`)));
  choose.value = picked;

  const show = () => {
    const hash = hash256(header(head)), goal = target(head.bits), enough = meets(hash, goal);
    now.textContent = hashHex(hash);
    now.className = hashHex(hash) === info.hash ? "mono" : "mono bad";
    work.textContent = enough ? t.enough : t.notEnough;
    work.className = enough ? "good" : "bad";
    for (const [name, , format] of fields) inputs[name].classList.toggle("changed", String(format(head[name])) !== String(format(original.head[name])));
    area.classList.toggle("changed", toHex(txs[picked].bytes) !== toHex(original.txs[picked].bytes));
    txid.textContent = bad ? t.notTx : hashHex(txs[picked].id);
    const merkle = merkleRoot(txs.map(tx => tx.id));
    root2.textContent = hashHex(merkle);
    root2.className = toHex(merkle) === toHex(head.merkle) ? "mono good" : "mono bad";
    fix.disabled = toHex(merkle) === toHex(head.merkle);
    let before = hash;
    list.replaceChildren(...[{ height: info.height, own: hash, head, first: true, ok: enough }, ...chain].map(b => {
      const own = b.first ? b.own : hash256(header(b.head)), fits = b.first || toHex(b.head.prev) === toHex(before), ok = meets(own, target(b.head.bits));
      before = fits ? own : b.first ? own : hash256(header(b.head));
      const note = b.first ? (ok ? t.enough : t.notEnough) : !fits ? t.loose : !ok ? t.notEnough : b.tries ? `${t.remined}: ${t.found(b.tries, span(b.seconds))}` : t.fits;
      return h("li", { class: (b.first ? ok : fits && ok) ? "" : "loose" }, h("b", {}, t.block(b.height)), h("span", { class: "mono" }, short(hashHex(own))), h("span", { class: (b.first ? ok : fits && ok) ? "good" : "bad" }, note));
    }));
    // A block hangs on one that hangs loose: it is loose, too.
    let loose = false;
    for (const li of list.children) { loose = loose || li.classList.contains("loose"); li.classList.toggle("loose", loose); }
  };

  for (const [name, , format, parse] of fields) {
    inputs[name] = h("input", { id: "field-" + name, value: String(format(head[name])), spellcheck: "false", autocomplete: "off" });
    inputs[name].addEventListener("input", () => { const v = parse(inputs[name].value.trim()); inputs[name].setAttribute("aria-invalid", v === null); if (v !== null) { head[name] = v; show(); } });
  }
  area.addEventListener("input", () => {
    const bytes = fromHex(area.value), tx = bytes && parseTx(bytes);
    bad = !tx;
    area.setAttribute("aria-invalid", bad);
    txs[picked] = tx || { bytes: bytes || txs[picked].bytes, id: hash256(bytes || txs[picked].bytes) };
    show();
  });
  choose.addEventListener("change", () => { picked = +choose.value; bad = false; area.value = toHex(txs[picked].bytes); show(); });
  const fix = h("button", { type: "button", id: "fixroot", onclick: () => { head.merkle = merkleRoot(txs.map(tx => tx.id)); inputs.merkle.value = hashHex(head.merkle); show(); } }, t.rootFix);

  const mine = async (what, tell) => {
    const tries = hashes(what.bits);
    if (tries > MOST / 4) { tell(t.needs(scaled(tries, ""), tries / 17000 > 1e9 ? t.age : span(tries / 17000)) + " " + t.tooHard); return null; }
    return search(what, (n, rate) => tell(t.tries(n, scaled(rate, "H/s"))), () => !root.isConnected || !running);
  };
  const during = async work => { if (running) { running = false; return; } running = true; again.textContent = t.stop; await work(); running = false; again.textContent = t.mineHere; };
  const again = h("button", { type: "button", class: "main", id: "again", onclick: () => during(async () => {
    const found = await mine(head, x => { say.textContent = x; });
    if (found) { head.nonce = found.nonce; inputs.nonce.value = found.nonce; say.textContent = t.found(found.tries, span(found.seconds)) + " " + t.one; }
    show();
  }) }, t.mineHere);
  const all = h("button", { type: "button", id: "all", onclick: () => during(async () => {
    let before = hash256(header(head));
    for (const b of chain) {
      b.head.prev = before;
      const found = await mine(b.head, x => { say.textContent = `${t.block(b.height)}: ${x}`; });
      if (!found) break;
      Object.assign(b, { tries: found.tries, seconds: found.seconds });
      b.head.nonce = found.nonce;
      before = hash256(header(b.head));
      show();
      await pause();
    }
    show();
  }) }, t.mineAll);
  const ask = h("button", { type: "button", id: "ask", onclick: async () => {
    verdict.replaceChildren(empty(t.asking));
    try {
      verdict.replaceChildren(...explanation(await post("check", { block: toHex(block(head, txs)) })).flat(9).filter(Boolean));
    } catch (e) { verdict.replaceChildren(empty(e.message)); }
  } }, t.ask);

  area.value = toHex(txs[picked].bytes);
  root.replaceChildren(
    h("h1", {}, t.change, h("small", {}, h("a", { href: "#/block/" + info.hash }, t.block(info.height)))), h("p", { class: "lead" }, t.leadChange),
    h("div", { class: "grid" },
      h("div", { class: "w7" }, section(t.header, h("div", { class: "fields" }, fields.map(([name, title]) => [h("label", { for: "field-" + name }, title), inputs[name]])),
        h("br"), h("dl", { class: "rows" }, h("dt", {}, t.originalHash), h("dd", { class: "mono" }, info.hash), h("dt", {}, t.newHash), now, h("dt", {}, ""), work),
        h("p", { class: "do" }, again, ask, h("button", { type: "button", onclick: () => edit(root, info, original, later, wanted) }, t.reset)), say),
      section(t.verdict, verdict)),
      h("div", { class: "w5" }, section(t.later, list, chain.length ? h("p", { class: "do" }, all) : empty(t.laterNone)))),
    section(t.txBytes, h("p", { class: "do" }, choose), area, h("br"), rows([t.txid, txid], [t.root, root2]), h("p", { class: "do" }, fix)));
  verdict.append(empty(t.verdictNone));
  show();
}
