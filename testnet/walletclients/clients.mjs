// Asks a node by two libraries that others wrote about addresses, and prints what each
// says: {address, electrum: {...}, esplora: {...}} for every one.
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const Electrum = require('@mempool/electrum-client');
const { EsploraExplorer } = require('@bitcoinerlab/explorer');

const { host, port, url, scripts } = JSON.parse(await new Promise((resolve) => {
  let text = '';
  process.stdin.on('data', (part) => { text += part; }).on('end', () => resolve(text));
}));
const electrum = new Electrum(port, host, 'tcp');
await electrum.initElectrum({ client: 'lode-test', version: ['1.4', '1.4.2'] });
const esplora = new EsploraExplorer({ url });
await esplora.connect();
const answers = [];
for (const { address, id } of scripts) {
  const history = await electrum.blockchainScripthash_getHistory(id);
  const balance = await electrum.blockchainScripthash_getBalance(id);
  const proofs = [];
  for (const tx of history.filter((tx) => tx.height > 0).slice(0, 3)) {
    proofs.push((await electrum.blockchainTransaction_getMerkle(tx.tx_hash, tx.height)).block_height);
  }
  const same = await esplora.fetchTxHistory({ address });
  const summary = await esplora.fetchAddress(address);
  answers.push({
    address, proofs: proofs.length, balance: balance.confirmed, pending: balance.unconfirmed,
    electrum: history.map((tx) => `${tx.tx_hash}:${Math.max(tx.height, 0)}`),
    esplora: same.map((tx) => `${tx.txId}:${tx.blockHeight}`),
    summary,
  });
}
const height = await esplora.fetchBlockHeight();
electrum.close();
await esplora.close();
console.log(JSON.stringify({ height, answers }));
process.exit(0);
