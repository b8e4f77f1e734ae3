package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Evidence collects what a dispute needs of a delivery and seals it with the gateway's Ed25519 key, which is made when
// there is none yet. That it was exported is a line of the audit log, which the next export shows.
func (a *Admin) Evidence(ctx context.Context, deliveryID string) (proof.Sealed, error) {
	service, err := a.endpoints()
	if err != nil {
		return proof.Sealed{}, err
	}
	row, err := a.store.DeliveryByID(ctx, deliveryID)
	if err != nil {
		return proof.Sealed{}, notFound(err, "delivery", deliveryID)
	}
	if _, err := a.store.ChainAudit(ctx); err != nil {
		return proof.Sealed{}, err
	}
	var out proof.Sealed
	err = a.store.InTx(ctx, func(tx *store.Tx) error {
		id, key, err := service.SealingKey(ctx, tx)
		if err != nil {
			return err
		}
		e, err := a.collect(ctx, tx, row)
		if err != nil {
			return err
		}
		if out, err = proof.Export(e, id, key); err != nil {
			return err
		}
		return tx.Audit(ctx, models.AuditEntry{At: a.utc(), Actor: a.actor.Name, Action: "delivery.evidence_exported",
			Subject: row.ID, Merchant: row.MerchantID})
	})
	return out, err
}

func (a *Admin) collect(ctx context.Context, tx *store.Tx, row models.Delivery) (proof.Evidence, error) {
	e := proof.Evidence{
		ExportedAt: a.utc(), ExportedBy: a.actor.Name, MerchantID: row.MerchantID,
		Batches: []proof.Message{}, Attempts: []proof.Attempt{}, Audit: []proof.AuditLine{},
	}
	ev, err := tx.EventByID(ctx, row.EventID)
	if errors.Is(err, models.ErrNotFound) {
		return e, fmt.Errorf("event %s is not kept any more: RETENTION_EVENTS", row.EventID)
	} else if err != nil {
		return e, err
	}
	e.Message = message(ev.ID, ev.Type, ev.CreatedAt, ev.Body)
	endpoint, err := tx.EndpointByID(ctx, row.EndpointID)
	if err != nil {
		return e, err
	}
	e.Endpoint = proof.Endpoint{ID: endpoint.ID, URL: endpoint.URL}
	all, err := tx.DeliveriesOf(ctx, row.EventID, row.EndpointID)
	if err != nil {
		return e, err
	}
	subjects := []string{endpoint.ID}
	for _, one := range all {
		subjects = append(subjects, one.ID)
		e.Deliveries = append(e.Deliveries, proof.Delivery{
			ID: one.ID, ReplayOf: one.ReplayOf, State: one.State, DeadReason: one.DeadReason, CreatedAt: one.CreatedAt.UTC(),
			DeliveredAt: utc(one.DeliveredAt),
		})
		if err := collectAttempts(ctx, tx, &e, one); err != nil {
			return e, err
		}
	}
	lines, err := tx.AuditAbout(ctx, subjects)
	if err != nil {
		return e, err
	}
	for _, l := range lines {
		e.Audit = append(e.Audit, proof.AuditLineOf(l))
	}
	tail, err := tx.AuditTail(ctx)
	if errors.Is(err, models.ErrNotFound) {
		return e, nil
	}
	e.AuditHead = proof.AuditMark{Seq: tail.Seq, Hash: tail.Hash}
	return e, err
}

// collectAttempts adds the attempts of one delivery, and the batch that carried it.
func collectAttempts(ctx context.Context, tx *store.Tx, e *proof.Evidence, d models.Delivery) error {
	attempts, err := tx.Attempts(ctx, d.MerchantID, d.ID)
	if err != nil {
		return err
	}
	batch := ""
	if d.BatchID != nil && strings.HasPrefix(*d.BatchID, models.PrefixBatch+"_") {
		b, err := tx.Batch(ctx, *d.BatchID)
		if err != nil {
			return err
		}
		batch = b.ID
		e.Batches = append(e.Batches, message(b.ID, models.BatchType, b.CreatedAt, b.Body))
	}
	for _, a := range attempts {
		out := proof.Attempt{
			ID: a.ID, DeliveryID: d.ID, Number: a.Number, StartedAt: a.StartedAt.UTC(), TotalMicros: a.TotalMicros,
			RemoteIP: a.RemoteIP, RequestHeaders: a.RequestHeaders, Class: a.Class, Status: a.StatusCode, Error: a.Error,
			ResponseHeaders: a.ResponseHeaders, ResponseBody: a.ResponseBody,
		}
		if a.DeliveryID != d.ID {
			out.BatchID = batch
		}
		e.Attempts = append(e.Attempts, out)
	}
	return nil
}

func message(id, kind string, at time.Time, body []byte) proof.Message {
	sum := sha256.Sum256(body)
	return proof.Message{ID: id, Type: kind, CreatedAt: at.UTC(), SHA256: hex.EncodeToString(sum[:]), Body: body}
}
