#!/usr/bin/env bash
# go-ethereum 1.17.10: the chain of `geth --dev` and of ethclient/simulated is a mixture of two forks.
#
# params.AllDevChainProtocolChanges sets bogotaTime to 0 and leaves amsterdamTime out. Amsterdam comes before Bogota, but
# CheckConfigForkOrder takes the configuration, because both are optional there. What follows from it on such a chain:
# - the newest fork is called Bogota;
# - the instruction set is Bogota's, so a first write to a storage slot costs what it costs since Amsterdam (about 110,000
#   gas in place of 22,106), and the first token transfer to a holder runs out of the usual 100,000 gas;
# - every rule that asks for Amsterdam is off, so a transfer of coin writes no log (EIP-7708).
# Whoever tests a payment scanner or a gas limit on it sees a chain that no network will ever be.
#
# It needs Go and the public module proxy. It exits with 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'EOF'
module finding

go 1.26

require github.com/ethereum/go-ethereum v1.17.10
EOF
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"math/big"
	"os"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm/runtime"
	"github.com/ethereum/go-ethereum/params"
)

// firstWrite is the gas of a call that stores 1 in an empty slot.
func firstWrite(c *params.ChainConfig) uint64 {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		panic(err)
	}
	contract, random := common.HexToAddress("0xc0de"), common.Hash{1}
	db.SetCode(contract, common.FromHex("600160005500"), 0)
	const limit = 1_000_000
	_, left, err := runtime.Call(contract, nil, &runtime.Config{ChainConfig: c, State: db,
		GasLimit: limit, BlockNumber: big.NewInt(1), Time: 1, Random: &random})
	if err != nil {
		panic(err)
	}
	return limit - left
}

func main() {
	dev := params.AllDevChainProtocolChanges
	osaka, amsterdam, zero := *dev, *dev, uint64(0)
	osaka.BogotaTime = nil
	amsterdam.BogotaTime, amsterdam.AmsterdamTime = nil, &zero
	rules := dev.Rules(big.NewInt(1), true, 1)
	fmt.Printf("dev chain: Amsterdam %v, Bogota %v, newest fork %v, order refused: %v\n", rules.IsAmsterdam,
		rules.IsBogota, dev.LatestFork(1), dev.CheckConfigForkOrder())
	atDev := firstWrite(dev)
	atOsaka := firstWrite(&osaka)
	atAmsterdam := firstWrite(&amsterdam)
	fmt.Printf("gas of a first write: dev chain %d, Osaka %d, Amsterdam %d\n", atDev, atOsaka, atAmsterdam)
	if rules.IsAmsterdam || !rules.IsBogota || dev.CheckConfigForkOrder() != nil || atDev != atAmsterdam || atDev < 4*atOsaka {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
EOF
export GOFLAGS=-mod=mod CGO_ENABLED=0
go mod tidy >/dev/null 2>&1
go list -m github.com/ethereum/go-ethereum
go run .
