package payments

import (
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/models"
)

// TransferOf is a recorded transfer as a block told of it.
func TransferOf(row models.Transfer) (t chain.Transfer, err error) {
	t = chain.Transfer{
		Asset: row.Asset, Value: row.Amount.Big(), Ordinal: row.Ordinal, LogIndex: -1, Source: chain.Source(row.Source),
		Witness: row.Witness,
	}
	if row.TxHash != "" {
		if t.TxHash, err = chain.ParseHash(row.TxHash); err != nil {
			return t, err
		}
	}
	if row.Sender != "" {
		if t.From, err = chain.ParseAddress(row.Sender); err != nil {
			return t, err
		}
	}
	if row.LogIndex != nil {
		t.LogIndex = *row.LogIndex
	}
	t.To, err = chain.ParseAddress(row.Recipient)
	return t, err
}
