package payments

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// fieldCheck collects what is wrong with the fields of a request.
type fieldCheck struct{ broken models.FieldErrors }

func (c *fieldCheck) add(field, example, format string, args ...any) {
	c.broken = append(c.broken, models.FieldError{Field: field, Message: fmt.Sprintf(format, args...), Example: example})
}

// check holds every field against the rules and returns the payment without its address.
func (s *Service) check(r Request) (models.Payment, error) {
	var c fieldCheck
	now := s.now()
	if r.ExpiresIn == 0 {
		r.ExpiresIn = s.expiry
	}
	p := models.Payment{
		ID: models.NewID(models.PrefixPayment, now), MerchantID: r.MerchantID, Token: models.NewToken(models.PrefixCheckout),
		OrderID: r.OrderID, Status: models.PaymentPending, ToleranceBPS: r.ToleranceBPS, Metadata: r.Metadata,
		RedirectURL: r.RedirectURL, Sequence: 1, CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(r.ExpiresIn),
	}
	if p.Metadata == nil {
		p.Metadata = map[string]string{}
	}
	if chain, ok := s.checkChain(&c, r); ok {
		p.Chain, p.ChainID, p.Test, p.RequiredConfirmations = chain.Name, chain.ChainID, chain.Test, chain.Finality.Depth
		if a, problem := resolve(chain, r.Asset); problem != "" {
			c.add("asset", "native", "%s", problem)
		} else if a.retired {
			c.add("asset", "native", "%s", retiredToken)
		} else {
			p.Asset, p.AssetSymbol, p.AssetDecimals = a.id, a.symbol, a.decimals
			p.Amount = checkAmount(&c, r, a)
		}
	}
	if problem := badMetadata(r.Metadata); problem != nil {
		c.broken = append(c.broken, *problem)
	}
	if r.RedirectURL != "" {
		u, err := url.Parse(r.RedirectURL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			c.add("redirect_url", "https://shop.example/thanks", "is not an absolute http or https URL")
		}
	}
	if c.broken != nil {
		return models.Payment{}, c.broken
	}
	return p, nil
}

func (s *Service) checkChain(c *fieldCheck, r Request) (config.Chain, bool) {
	chain, ok := s.chains[r.Chain]
	switch {
	case !ok:
		c.add("chain", s.someChain(r.Test), "is not a chain of this gateway: %q", models.Clip(r.Chain))
	case r.Test && !chain.Test:
		c.add("chain", s.someChain(true), "is not a test chain, and this is a test key: %q", models.Clip(r.Chain))
		return chain, false
	case chain.Retired:
		c.add("chain", s.someChain(r.Test), "is retired: no new payments are made on it: %q", models.Clip(r.Chain))
		return chain, false
	}
	return chain, ok
}

func checkAmount(c *fieldCheck, r Request, a asset) models.Amount {
	field, example := "amount", "1500000"
	var amount models.Amount
	var err error
	switch {
	case r.Amount != "" && r.AmountDecimal != "":
		c.add("amount_decimal", "1.5", "cannot be given together with amount")
		return amount
	case r.AmountDecimal != "":
		field, example = "amount_decimal", "1.5"
		amount, err = models.ParseDecimal(r.AmountDecimal, a.decimals)
	default:
		amount, err = models.ParseAmount(r.Amount)
	}
	switch {
	case errors.Is(err, models.ErrAmountPrecision):
		c.add(field, example, "has more decimal places than %s has (%d)", a.symbol, a.decimals)
	case err != nil:
		c.add(field, example, "%s", err.Error())
	case amount.Sign() == 0:
		c.add(field, example, "must be more than zero")
	}
	return amount
}

// asset is what a payment asks for: the native coin or a token of a chain.
type asset struct {
	id       string
	symbol   string
	decimals uint8
	retired  bool // nothing new is asked for in it
}

const retiredToken = "is retired: no new payments are made in it"

// resolve finds an asset of a chain by symbol, contract address or "native". The second answer says what is wrong.
func resolve(c config.Chain, name string) (asset, string) {
	if name == models.AssetNative || strings.EqualFold(name, c.Native.Symbol) {
		return asset{id: models.AssetNative, symbol: c.Native.Symbol, decimals: c.Native.Decimals}, ""
	}
	contract := ""
	if strings.HasPrefix(name, "0x") || strings.HasPrefix(name, "0X") {
		address, err := wallet.ParseAddress(name)
		if err != nil {
			return asset{}, fmt.Sprintf("is not a contract address: %v", err)
		}
		contract = address
	}
	retired := false
	for _, t := range c.Tokens {
		switch {
		case contract != "" && t.Contract == contract, contract == "" && !t.Retired && strings.EqualFold(t.Symbol, name):
			return asset{t.Contract, t.Symbol, t.Decimals, t.Retired}, ""
		case contract == "" && strings.EqualFold(t.Symbol, name):
			retired = true
		}
	}
	if retired {
		return asset{}, retiredToken
	}
	return asset{}, fmt.Sprintf("is not listed on chain %s: %q", c.Name, models.Clip(name))
}

// someChain names a chain that a merchant could have meant.
func (s *Service) someChain(test bool) string {
	best := ""
	for name, c := range s.chains {
		if (!test || c.Test) && !c.Retired && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

func metadataSize(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}
