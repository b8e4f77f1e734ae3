package admin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Prove holds every transfer in a verified request against the node at url, which must be of the chain of its payments.
func (v *Verdict) Prove(ctx context.Context, url string) error {
	v.Transfers = []proof.TransferVerdict{}
	for _, e := range v.events {
		if e.Data.Payment == nil {
			continue
		}
		found, err := proveEvent(ctx, url, e)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		v.Transfers = append(v.Transfers, found...)
	}
	return nil
}

// Refuted reports whether the node contradicts a transfer.
func (v *Verdict) Refuted() bool {
	for _, t := range v.Transfers {
		if t.Finding == proof.Refuted {
			return true
		}
	}
	return false
}

func proveEvent(ctx context.Context, url string, e webhook.Event) ([]proof.TransferVerdict, error) {
	node, err := evm.New(evm.Options{
		Name: e.Data.Payment.Chain, ChainID: e.Data.Payment.ChainID, URLs: []string{url}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer node.Close()
	return proof.Transfers(ctx, node, e)
}
