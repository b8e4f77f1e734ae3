// Prints the xpub of an Ethereum account and its first addresses. For a computer without a network: whoever has the phrase
// has the money. Node.js 18 or newer and `npm install ethers`.
//
//   node xpub.mjs [ACCOUNT] < phrase.txt

import { readFileSync } from 'node:fs';
import { HDNodeWallet } from 'ethers';

const phrase = readFileSync(0, 'utf8').trim().split(/\s+/).join(' ');
const account = HDNodeWallet.fromPhrase(phrase, '', `m/44'/60'/${Number(process.argv[2] ?? 0)}'`).neuter();
console.log(account.extendedKey);
for (let i = 0; i < 5; i++) console.log(account.derivePath(`0/${i}`).address);
