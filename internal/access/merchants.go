package access

import (
	"context"
	"errors"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// CreateMerchant makes a merchant, with an account key when xpub is not "". It returns the first address of the key, which
// the owner compares with what his wallet shows.
func (s *Service) CreateMerchant(ctx context.Context, name, xpub, actor string) (m models.Merchant, firstAddress string, err error) {
	if problem := badName(name); problem != "" {
		return m, "", models.Faults{{Field: "name", Message: problem, Example: "Tea & Sons"}}
	}
	now := s.now()
	m = models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: name, CreatedAt: now, UpdatedAt: now}
	err = s.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.InsertMerchant(ctx, m); err != nil {
			return err
		}
		if xpub != "" {
			if firstAddress, err = s.setXPub(ctx, tx, m.ID, xpub, actor); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, models.AuditEntry{At: now, Actor: actor, Action: "merchant.created", Subject: m.ID, Merchant: m.ID})
	})
	if err != nil {
		return models.Merchant{}, "", err
	}
	m, err = s.Store.Merchant(ctx, m.ID)
	return m, firstAddress, err
}

// SetXPub gives a merchant a new account key. New payments draw from it; the addresses of the old one stay watched.
func (s *Service) SetXPub(ctx context.Context, merchantID, xpub, actor string) (firstAddress string, err error) {
	err = s.Store.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Merchant(ctx, merchantID); err != nil {
			return err
		}
		firstAddress, err = s.setXPub(ctx, tx, merchantID, xpub, actor)
		return err
	})
	return firstAddress, err
}

func (s *Service) setXPub(ctx context.Context, tx *store.Tx, merchantID, xpub, actor string) (string, error) {
	account, err := wallet.Parse(xpub)
	if err != nil {
		return "", models.Faults{{Field: "xpub", Message: err.Error(), Example: "xpub6C… of m/44'/60'/0'"}}
	}
	first, err := account.Address(s.Branch, 0)
	if err != nil {
		return "", err
	}
	err = tx.SetAccountKey(ctx, models.AccountKey{ID: account.KeyID(), MerchantID: merchantID, XPub: xpub, Branch: s.Branch, CreatedAt: s.now()})
	if errors.Is(err, models.ErrConflict) {
		return "", ErrForeignXPub
	} else if err != nil {
		return "", err
	}
	return first, tx.Audit(ctx, models.AuditEntry{
		At: s.now(), Actor: actor, Action: "merchant.xpub_set", Subject: merchantID, Merchant: merchantID,
		Detail: map[string]string{"account_key": account.KeyID(), "first_address": first},
	})
}
