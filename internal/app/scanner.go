package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// tokenRetry is how often a chain that does not answer is asked for its tokens' decimals again.
	tokenRetry = 5 * time.Second
	// quietFor is how long a chain may give no answer before its scanner counts as failing.
	quietFor = time.Minute
)

// buildScanner makes one scanner a chain.
func (a *App) buildScanner(context.Context) error {
	if a.o.Roles&Scanner == 0 {
		return nil
	}
	var scanners []*scanner.Scanner
	for _, c := range a.cfg.Chains {
		s, err := scanner.New(scanner.Options{
			Chain: c, Source: a.pools[c.ChainID], Store: a.store, Payments: a.payments, Holder: a.name, Now: time.Now,
			Logger: a.log, Metrics: a.metrics, Tracing: a.tracing,
		})
		if err != nil {
			return err
		}
		a.metrics.DeclareChain(c.Name)
		scanners = append(scanners, s)
		a.part("scanner of "+c.Name, func(ctx context.Context) error {
			if !a.tokensFit(ctx, c) {
				<-ctx.Done()
				return nil
			}
			return s.Run(ctx)
		})
	}
	a.part("quarantine", a.retryQuarantined)
	// A scanner is ready while one chain fails, and unready when all do.
	a.checks = append(a.checks, check{"chains", true, func(context.Context) error {
		var errs []error
		for i, s := range scanners {
			st := s.State()
			if st.Leading && time.Since(st.LastSeen) < quietFor || !st.Leading && st.LastErr == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", a.cfg.Chains[i].Name, orQuiet(st.LastErr)))
		}
		return errors.Join(errs...)
	}})
	return nil
}

func orQuiet(err error) error {
	if err == nil {
		return errors.New("no answer for a while")
	}
	return err
}

// plain is a text of somebody else's for a log line: in ASCII, with everything else escaped, and not long.
func plain(s string) string {
	quoted := strconv.QuoteToASCII(models.Clip(s))
	return quoted[1 : len(quoted)-1]
}

// tokensFit compares the decimals of the listed tokens with what their contracts say, as soon as the chain answers. A
// chain with a token that does not fit is not scanned: every amount on it would be wrong.
func (a *App) tokensFit(ctx context.Context, c config.Chain) bool {
	began, silent := time.Now(), false
	defer func() {
		if silent {
			a.metrics.ForgetChain(c.Name) // whoever leads the chain tells of it
		}
	}()
	for _, t := range c.Tokens {
		if t.Retired { // it fitted while payments were made in it, and its contract may be gone
			continue
		}
		for {
			decimals, err := a.pools[c.ChainID].Decimals(ctx, t.Contract)
			if err == nil && decimals == t.Decimals {
				break
			}
			if err == nil {
				a.log.ErrorContext(ctx, "chain.token_mismatch", "chain", c.Name, "symbol", plain(t.Symbol),
					"configured", t.Decimals, "contract", decimals)
				a.metrics.ChainHalted(c.Name, true)
				return false
			}
			silent = true
			a.metrics.ChainSilent(c.Name, time.Since(began))
			a.log.WarnContext(ctx, "chain.token_unchecked", "chain", c.Name, "symbol", plain(t.Symbol), "error", err)
			select {
			case <-ctx.Done():
				return false
			case <-time.After(tokenRetry):
			}
		}
	}
	return true
}

// retryQuarantined recomputes payments that could not be recomputed a minute ago.
func (a *App) retryQuarantined(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := a.payments.Retry(ctx, time.Now().Add(-time.Minute)); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "quarantine.retry_failed", "error", err)
			}
		}
	}
}
