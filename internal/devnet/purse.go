package devnet

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// purse answers eth_accounts and eth_sendTransaction for the payer's account, as anvil and geth --dev do for their unlocked
// accounts: whoever has nothing but curl can pay. Geth's own answers, for an account manager without accounts, give way to it.
type purse struct{ c *Chain }

// spend is what eth_sendTransaction reads of its argument; nonce and fees are the chain's to choose.
type spend struct {
	From  common.Address  `json:"from"`
	To    *common.Address `json:"to"`
	Value *hexutil.Big    `json:"value"`
	Gas   *hexutil.Uint64 `json:"gas"`
	Data  hexutil.Bytes   `json:"data"`
	Input hexutil.Bytes   `json:"input"` // the newer name of data
}

// Accounts answers eth_accounts.
func (p purse) Accounts() []common.Address { return []common.Address{p.c.payer.address} }

// SendTransaction answers eth_sendTransaction. The caller is a request, which holds the gate.
func (p purse) SendTransaction(ctx context.Context, o spend) (common.Hash, error) {
	if o.From != p.c.payer.address {
		return common.Hash{}, fmt.Errorf("account %s is not unlocked; eth_accounts tells which is", o.From.Hex())
	}
	tx := &types.DynamicFeeTx{To: o.To, Value: new(big.Int), Gas: 150_000, Data: o.Input}
	if o.Value != nil {
		tx.Value = o.Value.ToInt()
	}
	if o.Gas != nil {
		tx.Gas = uint64(*o.Gas)
	}
	if o.Input == nil {
		tx.Data = o.Data
	}
	return p.c.pool(ctx, p.c.payer, tx)
}
