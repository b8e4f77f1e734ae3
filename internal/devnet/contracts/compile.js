// Compiles DemoToken.sol with npm's solc and prints the artefact that is committed as DemoToken.json.
//
//   npm install --prefix DIR solc@VERSION    (VERSION is the pragma of DemoToken.sol)
//   NODE_PATH=DIR/node_modules node compile.js > DemoToken.json
//
// TestDemoTokenMatchesSource runs exactly this and compares; `go test -run DemoTokenMatches -update` rewrites the file.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const input = {
  language: "Solidity",
  sources: { "DemoToken.sol": { content: fs.readFileSync(path.join(__dirname, "DemoToken.sol"), "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "shanghai",
    // No metadata trailer: the bytecode then depends on the code alone.
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const e of output.errors || []) {
  process.stderr.write(e.formattedMessage);
}
if ((output.errors || []).length > 0) process.exit(1);

const contract = output.contracts["DemoToken.sol"].DemoToken;
process.stdout.write(
  JSON.stringify({ compiler: solc.version(), abi: contract.abi, bytecode: "0x" + contract.evm.bytecode.object }, null, 2) + "\n",
);
