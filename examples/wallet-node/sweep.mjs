// Sends what lies on deposit addresses to one address of yours. For the computer that holds the phrase, never for the
// gateway's. Node.js 18 or newer and `npm install ethers`.
//
//   node sweep.mjs RPC_URL addresses.csv TO [TOKEN] < phrase.txt
//
// addresses.csv is what `ctripctl addresses export` prints. TOKEN is the contract of a token; without it the chain's own coin
// is sent. A token needs coin for gas on each address: it comes from m/44'/60'/1'/0/0, the first address of the next account,
// which you fill.

import { readFileSync } from 'node:fs';
import { Contract, HDNodeWallet, JsonRpcProvider, getAddress } from 'ethers';

const [rpc, csv, destination, token] = process.argv.slice(2);
const to = getAddress(destination); // fails for a typing error
const provider = new JsonRpcProvider(rpc);
const root = HDNodeWallet.fromPhrase(readFileSync(0, 'utf8').trim().split(/\s+/).join(' '), '', 'm');
const gasWallet = root.derivePath("m/44'/60'/1'/0/0").connect(provider);

// fees doubles the base fee, so that the transaction is taken even when blocks fill up.
async function fees() {
  const { maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
  return { maxFeePerGas, maxPriorityFeePerGas };
}

async function sweepCoin(wallet) {
  const balance = await provider.getBalance(wallet.address);
  if (balance === 0n) return null;
  const fee = await fees();
  const gasLimit = await provider.estimateGas({ from: wallet.address, to, value: 1n });
  const value = balance - gasLimit * fee.maxFeePerGas; // a little stays: the fee is what is paid at most
  if (value <= 0n) return null;
  return wallet.sendTransaction({ to, value, gasLimit, ...fee });
}

async function sweepToken(wallet) {
  const contract = new Contract(token, ['function balanceOf(address) view returns (uint256)', 'function transfer(address, uint256) returns (bool)'], wallet);
  const balance = await contract.balanceOf(wallet.address);
  if (balance === 0n) return null;
  const fee = await fees();
  const gasLimit = await contract.transfer.estimateGas(to, balance);
  const missing = gasLimit * fee.maxFeePerGas - (await provider.getBalance(wallet.address));
  if (missing > 0n) await (await gasWallet.sendTransaction({ to: wallet.address, value: missing, ...fee })).wait();
  return contract.transfer(to, balance, { gasLimit, ...fee });
}

for (const line of readFileSync(csv, 'utf8').trim().split('\n').slice(1)) {
  const [address, path] = line.split(',');
  const wallet = root.derivePath(path).connect(provider);
  if (wallet.address !== getAddress(address)) throw new Error(`${path} is ${wallet.address}, not ${address}: is this the right phrase?`);
  const sent = await (token ? sweepToken(wallet) : sweepCoin(wallet));
  if (sent) {
    await sent.wait();
    console.log(address, sent.hash);
  }
}
provider.destroy();
