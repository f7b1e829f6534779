// Signs one input of a PSBT with bitcoinjs-lib, by the key path of Taproot. Standard
// input is JSON: psbt (base64), key (the internal private key, hex), and finalize. The
// answer is JSON too: psbt, and hex if the transaction is complete.
import * as bitcoin from 'bitcoinjs-lib';
import * as ecc from '@bitcoinerlab/secp256k1';
import { readFileSync } from 'node:fs';

bitcoin.initEccLib(ecc);
const { psbt: text, key, finalize } = JSON.parse(readFileSync(0, 'utf8'));

let secret = Uint8Array.from(Buffer.from(key, 'hex'));
const point = ecc.pointFromScalar(secret, true);
if (point[0] === 3) secret = ecc.privateNegate(secret);
const internal = point.subarray(1);
const tweaked = ecc.privateAdd(secret, bitcoin.crypto.taggedHash('TapTweak', internal));
const signer = {
  publicKey: ecc.pointFromScalar(tweaked, true),
  sign() { throw new Error('not for Taproot'); },
  signSchnorr: (hash) => ecc.signSchnorr(hash, tweaked),
};
const script = Buffer.concat([Buffer.from([0x51, 32]), signer.publicKey.subarray(1)]);

const psbt = bitcoin.Psbt.fromBase64(text, { network: bitcoin.networks.regtest });
psbt.data.inputs.forEach((input, i) => {
  if (Buffer.compare(Buffer.from(input.witnessUtxo.script), script) !== 0) return;
  if (!input.tapInternalKey) psbt.updateInput(i, { tapInternalKey: internal });
  psbt.signInput(i, signer);
});
const answer = {};
if (finalize) {
  psbt.finalizeAllInputs();
  answer.hex = psbt.extractTransaction().toHex();
}
answer.psbt = psbt.toBase64();
console.log(JSON.stringify(answer));
