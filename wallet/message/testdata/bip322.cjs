// Without an argument: signs messages with bip322-js 3.0.0 (npm), as they stand
// in bip322.json. With a file of that form: fails unless bip322-js verifies all
// of its signatures, and none for another message.
const { Signer, Verifier } = require('bip322-js');
const bitcoin = require('bitcoinjs-lib');
const ecc = require('@bitcoinerlab/secp256k1');
const { ECPairFactory } = require('ecpair');
const fs = require('fs');

bitcoin.initEccLib(ecc);
const network = bitcoin.networks.regtest;
const messages = ['', 'Hello World', 'Zahlung 7 für „Kundin“, 1 ₿\nzweite Zeile', 'x'.repeat(300)];

function sign(i) {
  const secret = bitcoin.crypto.sha256(Buffer.from('bip322 ' + i));
  const key = ECPairFactory(ecc).fromPrivateKey(secret, { network });
  const address = bitcoin.payments.p2tr({ internalPubkey: key.publicKey.subarray(1), network }).address;
  const message = messages[i % messages.length];
  return { secret: secret.toString('hex'), address, message, signature: Signer.sign(key.toWIF(), address, message).toString('base64') };
}

const file = process.argv[2];
if (!file) {
  console.log(JSON.stringify(Array.from({ length: 12 }, (_, i) => sign(i)), null, 1));
} else {
  for (const v of JSON.parse(fs.readFileSync(file))) {
    if (!Verifier.verifySignature(v.address, v.message, v.signature)) throw new Error('not verified: ' + v.address);
    if (Verifier.verifySignature(v.address, v.message + '.', v.signature)) throw new Error('verified another message: ' + v.address);
  }
}
