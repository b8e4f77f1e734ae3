package devnet

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// The demo token, as contracts/DemoToken.sol has it.
const (
	TokenSymbol   = "DEMO"
	TokenDecimals = 18
)

//go:embed contracts/DemoToken.json
var demoTokenJSON []byte

// demoToken is the compiled contract.
type demoToken struct {
	ABI      abi.ABI       `json:"abi"`
	Bytecode hexutil.Bytes `json:"bytecode"`
}

func loadDemoToken() (demoToken, error) {
	var t demoToken
	if err := json.Unmarshal(demoTokenJSON, &t); err != nil {
		return demoToken{}, fmt.Errorf("read contracts/DemoToken.json: %w", err)
	}
	return t, nil
}

// creation is the data of the transaction that deploys the token and gives each holder that many base units.
func (t demoToken) creation(each *big.Int, holders ...common.Address) ([]byte, error) {
	arguments, err := t.ABI.Pack("", holders, each)
	if err != nil {
		return nil, fmt.Errorf("pack constructor: %w", err)
	}
	return append(append([]byte{}, t.Bytecode...), arguments...), nil
}

// transfer is the call data of transfer(to, units).
func (t demoToken) transfer(to common.Address, units *big.Int) ([]byte, error) {
	data, err := t.ABI.Pack("transfer", to, units)
	if err != nil {
		return nil, fmt.Errorf("pack transfer: %w", err)
	}
	return data, nil
}
