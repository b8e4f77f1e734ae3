#!/usr/bin/env bash
# hardhat 3.18.0, npm 11.19.1 on Node.js 20: `npm install` succeeds, and `hardhat node` then says that its own plugin
# is not installed, whichever Node.js runs it.
#
# Hardhat's EVM is a native package, one for each platform, as optional dependencies of @nomicfoundation/edr. They ask
# for a newer Node.js in `engines`. npm holds `engines` against the Node.js that npm itself runs on, and an optional
# dependency that does not fit is left out without a word and with exit code 0. A project that brings its own Node.js
# 22 (npm's package `node`, as CI images with an older Node.js do) is installed without an EVM, and what Hardhat says
# of it, `HHE200: Plugin "builtin:node" is not installed`, names neither the package nor the cause.
#
# It needs npm and its public registry. It exits with 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/npm" "$dir/project"
cd "$dir/npm"
echo '{"private":true}' >package.json
npm install --silent --no-audit --no-fund node@20.20.2 npm@11.19.1
old=$dir/npm/node_modules/node/bin/node
npm=$dir/npm/node_modules/npm/bin/npm-cli.js
cd "$dir/project"
echo '{"type":"module","private":true}' >package.json
echo 'export default {};' >hardhat.config.js
PATH=$(dirname "$old"):$PATH "$old" "$npm" install --silent --no-audit --no-fund node@22.23.3 hardhat@3.18.0
new=node_modules/node/bin/node
echo "npm $("$old" "$npm" --version) ran on Node.js $("$old" --version), hardhat runs on Node.js $("$new" --version)"
natives=$(find node_modules/@nomicfoundation -maxdepth 1 -name 'edr-*' | wc -l)
echo "native packages of the EVM that were installed: $natives"
said=$(timeout 60 "$new" node_modules/hardhat/dist/src/cli.js node --port 0 2>&1 | head -c 4000 || true)
echo "hardhat node: $(grep -m 1 HHE <<<"$said" || head -n 1 <<<"$said")"
[ "$natives" = 0 ] && grep -q 'HHE200' <<<"$said"
