// Blocks and transactions as they are sent (BIP144), in the browser.
import { hash256 } from "./sha256.js";

export function fromHex(text) {
  text = text.replace(/\s+/g, "");
  if (text.length % 2 || /[^0-9a-f]/i.test(text)) return null;
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(text.substr(2 * i, 2), 16);
  return out;
}
export const toHex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, "0")).join("");
export const hashHex = bytes => toHex(bytes.slice().reverse());
export const hashBytes = hex => { const b = fromHex(hex); return b && b.length === 32 ? b.reverse() : null; };

export function header({ version, prev, merkle, time, bits, nonce }) {
  const out = new Uint8Array(80), view = new DataView(out.buffer);
  view.setInt32(0, version, true);
  out.set(prev, 4);
  out.set(merkle, 36);
  view.setUint32(68, time, true);
  view.setUint32(72, bits, true);
  view.setUint32(76, nonce, true);
  return out;
}

class Reader {
  constructor(bytes) { this.bytes = bytes; this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length); this.at = 0; }
  skip(n) { if (this.at + n > this.bytes.length) throw new Error("short"); this.at += n; }
  u8() { this.skip(1); return this.bytes[this.at - 1]; }
  size() {
    const first = this.u8();
    if (first < 0xfd) return first;
    const n = first === 0xfd ? 2 : first === 0xfe ? 4 : 8;
    this.skip(n);
    if (n === 2) return this.view.getUint16(this.at - 2, true);
    if (n === 4) return this.view.getUint32(this.at - 4, true);
    return Number(this.view.getBigUint64(this.at - 8, true));
  }
}

// readTx reads one transaction and gives its bytes and its id.
export function readTx(r) {
  const begin = r.at;
  r.skip(4);
  const parts = [r.bytes.slice(begin, begin + 4)];
  const segwit = r.bytes[r.at] === 0 && r.bytes[r.at + 1] !== 0;
  if (segwit) r.skip(2);
  const inside = r.at, inputs = r.size();
  for (let i = 0; i < inputs; i++) { r.skip(36); r.skip(r.size()); r.skip(4); }
  for (let n = r.size(); n > 0; n--) { r.skip(8); r.skip(r.size()); }
  parts.push(r.bytes.slice(inside, r.at));
  if (segwit) for (let i = 0; i < inputs; i++) for (let n = r.size(); n > 0; n--) r.skip(r.size());
  r.skip(4);
  parts.push(r.bytes.slice(r.at - 4, r.at));
  return { bytes: r.bytes.slice(begin, r.at), id: hash256(join(parts)) };
}

// parseTx reads bytes that are one transaction and nothing else; null if they are not.
export function parseTx(bytes) {
  try {
    const r = new Reader(bytes), tx = readTx(r);
    return r.at === bytes.length ? tx : null;
  } catch { return null; }
}

export function parseBlock(bytes) {
  const r = new Reader(bytes), v = r.view;
  r.skip(80);
  const head = { version: v.getInt32(0, true), prev: bytes.slice(4, 36), merkle: bytes.slice(36, 68), time: v.getUint32(68, true), bits: v.getUint32(72, true), nonce: v.getUint32(76, true) };
  const txs = [];
  for (let n = r.size(); n > 0; n--) txs.push(readTx(r));
  return { head, txs };
}

export function join(parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) { out.set(p, at); at += p.length; }
  return out;
}

function compact(n) {
  if (n < 0xfd) return new Uint8Array([n]);
  const out = new Uint8Array(n < 0x10000 ? 3 : 5), v = new DataView(out.buffer);
  if (out.length === 3) { out[0] = 0xfd; v.setUint16(1, n, true); } else { out[0] = 0xfe; v.setUint32(1, n, true); }
  return out;
}
export const block = (head, txs) => join([header(head), compact(txs.length), ...txs.map(tx => tx.bytes)]);

export function merkleRoot(ids) {
  while (ids.length > 1) {
    const next = [];
    for (let i = 0; i < ids.length; i += 2) next.push(hash256(join([ids[i], ids[i + 1] || ids[i]])));
    ids = next;
  }
  return ids[0] || new Uint8Array(32);
}

// target is the highest hash that counts as work, as bytes in the order of a number.
export function target(bits) {
  const out = new Uint8Array(32), size = bits >>> 24;
  for (let i = 0; i < 3; i++) {
    const at = 32 - size + i;
    if (at >= 0 && at < 32) out[at] = bits >>> 8 * (2 - i);
  }
  return bits & 0x800000 ? new Uint8Array(32) : out;
}
export function meets(hash, goal) { // a hash is a number with its last byte first
  for (let i = 0; i < 32; i++) if (hash[31 - i] !== goal[i]) return hash[31 - i] < goal[i];
  return true;
}
