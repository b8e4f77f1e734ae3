package devnet

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// signer answers eth_accounts and eth_sendTransaction for the payer's account, as anvil and geth --dev do for their
// unlocked accounts: whoever has nothing but curl can pay.
type signer struct{ c *Chain }

// transactionRequest is what eth_sendTransaction reads of its argument; nonce and fees are the chain's to choose.
type transactionRequest struct {
	From  common.Address  `json:"from"`
	To    *common.Address `json:"to"`
	Value *hexutil.Big    `json:"value"`
	Gas   *hexutil.Uint64 `json:"gas"`
	Data  hexutil.Bytes   `json:"data"`
	Input hexutil.Bytes   `json:"input"` // the newer name of data
}

// Accounts answers eth_accounts.
func (s signer) Accounts() []common.Address { return []common.Address{s.c.payer.address} }

// SendTransaction answers eth_sendTransaction. The caller is a request, which holds c.mu.
func (s signer) SendTransaction(ctx context.Context, r transactionRequest) (common.Hash, error) {
	if r.From != s.c.payer.address {
		return common.Hash{}, fmt.Errorf("account %s is not unlocked; eth_accounts tells which is", r.From.Hex())
	}
	tx := &types.DynamicFeeTx{To: r.To, Value: new(big.Int), Gas: 150_000, Data: r.Input}
	if r.Value != nil {
		tx.Value = r.Value.ToInt()
	}
	if r.Gas != nil {
		tx.Gas = uint64(*r.Gas)
	}
	if r.Input == nil {
		tx.Data = r.Data
	}
	return s.c.signAndPool(ctx, s.c.payer, tx)
}
