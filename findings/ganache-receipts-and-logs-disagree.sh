#!/usr/bin/env bash
# ganache 7.9.2: the same log has another `logIndex` in its receipt than in the answer of eth_getLogs.
#
# eth_getLogs counts the logs of a block, as the execution API says and go-ethereum, anvil and hardhat do. The receipts
# count anew in each transaction. Whoever reads a block by eth_getLogs and holds it against eth_getTransactionReceipt, or
# knows a log by its block and index and reads receipts, sees two logs where there is one, or one where there are two.
# The index is no part of what a receipt hashes to, so roots verify all the same.
#
# It needs npm and its public registry. It exits with 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{"private":true}' >package.json
npm install --silent --no-audit --no-fund ganache@7.9.2
cat >logs.js <<'JS'
const ganache = require("ganache");

async function main() {
  const provider = ganache.provider({ logging: { quiet: true }, miner: { blockTime: 100000 } });
  const rpc = (method, ...params) => provider.request({ method, params });
  const [first, second] = await rpc("eth_accounts");
  // a contract of four instructions, which writes one empty log for each call
  const made = await rpc("eth_sendTransaction", { from: first, gas: "0x20000", data: "0x6560006000a0006000526006601af3" });
  await rpc("evm_mine");
  const to = (await rpc("eth_getTransactionReceipt", made)).contractAddress;
  for (const from of [first, second]) await rpc("eth_sendTransaction", { from, to, gas: "0x20000" });
  await rpc("evm_mine");
  const logs = await rpc("eth_getLogs", { fromBlock: "latest", toBlock: "latest" });
  const receipts = await Promise.all(logs.map((l) => rpc("eth_getTransactionReceipt", l.transactionHash)));
  console.log("logIndex of two transactions of one block:",
    "eth_getLogs", logs.map((l) => l.logIndex).join(" "),
    "eth_getTransactionReceipt", receipts.map((r) => r.logs[0].logIndex).join(" "));
  await provider.disconnect();
}
main();
JS
said=$(node logs.js)
echo "ganache 7.9.2 on Node.js $(node --version): $said"
grep -q 'eth_getLogs 0x0 0x1 eth_getTransactionReceipt 0x0 0x0$' <<<"$said"
