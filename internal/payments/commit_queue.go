package payments

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// underWay is what is being written of one merchant.
type underWay struct {
	batches int // transactions of several that hold something of theirs
	alone   []*creation
	working int // writers of those alone
}

// unknownCommit is an [ErrCommitUnknown] for the payments of a transaction. For whoever waited for them it is its
// cause.
type unknownCommit struct{ cause error }

func (e *unknownCommit) Error() string        { return ErrCommitUnknown.Error() + ": " + e.cause.Error() }
func (e *unknownCommit) Unwrap() error        { return e.cause }
func (e *unknownCommit) Is(target error) bool { return target == ErrCommitUnknown }

// The kinds of claims.
const (
	claimKey      = "key"
	claimOrder    = "order"
	claimReplaced = "replaced"
)

// claimsOf are the idempotency key, the order and the replaced payment of a creation, as far as it has them.
func claimsOf(n *creation) []string {
	claim := func(parts ...string) string {
		text := ""
		for _, p := range parts {
			text += p + "\x00"
		}
		return text
	}
	p := n.payment
	mode := "live"
	if p.Test {
		mode = "test"
	}
	var claims []string
	if r := n.record; r != nil {
		claims = append(claims, claim(claimKey, r.MerchantID, r.Method, r.Path, r.Key))
	}
	if p.OrderID != nil {
		claims = append(claims, claim(claimOrder, p.MerchantID, mode, *p.OrderID))
	}
	if p.Replaces != nil {
		claims = append(claims, claim(claimReplaced, *p.Replaces))
	}
	return claims
}

// write returns when the payment is committed, or why it is not; [ErrCommitUnknown] when it may be.
func (g *groupCommit) write(n *creation) error {
	n.done, n.claims = make(chan error, 1), claimsOf(n)
	g.mu.Lock()
	if g.claimed == nil {
		g.claimed, g.merchants = make(map[string]bool), make(map[string]*underWay)
	}
	g.waiting = append(g.waiting, n)
	switch u := g.merchants[n.payment.MerchantID]; {
	case g.working < groupCommits:
		g.working++
		go g.work(false)
	case g.working < maxGroupCommits && (u == nil || u.batches == 0):
		g.working++
		go g.work(true)
	}
	g.mu.Unlock()
	return <-n.done
}

// work writes whatever waits and may be written, until nothing does; others only what is of merchants of whom no
// transaction is under way.
func (g *groupCommit) work(others bool) {
	for {
		g.mu.Lock()
		batch, merchants := g.pick(others)
		if len(batch) == 0 {
			g.working--
			g.mu.Unlock()
			return
		}
		for _, m := range merchants {
			g.of(m).batches++
		}
		g.mu.Unlock()
		err := g.writeBatch(batch, shortLockTimeout)
		again := store.IsConflict(err) && !errors.Is(err, ErrCommitUnknown) &&
			(len(batch) > 1 || errors.Is(err, store.ErrLockTimeout))
		g.mu.Lock()
		for _, m := range merchants {
			g.of(m).batches--
		}
		for _, n := range batch {
			if again {
				g.goAlone(n)
			} else {
				g.settle(n, err)
			}
		}
		for _, m := range merchants {
			g.forget(m)
		}
		g.mu.Unlock()
	}
}

// pick takes the next transaction out of what waits, merchant by merchant in turn. What replaces another payment waits
// for a row that somebody else may hold, and goes alone.
func (g *groupCommit) pick(others bool) (batch []*creation, merchants []string) {
	offers := make(map[string][]*creation)
	claimed := make(map[string]bool)
	for _, n := range g.waiting {
		m := n.payment.MerchantID
		if u := g.merchants[m]; others && u != nil && u.batches > 0 || len(offers[m]) == maxBatch ||
			slices.ContainsFunc(n.claims, func(c string) bool { return g.claimed[c] || claimed[c] }) {
			continue
		}
		if offers[m] == nil {
			merchants = append(merchants, m)
		}
		offers[m] = append(offers[m], n)
		for _, c := range n.claims {
			claimed[c] = true
		}
	}
	most := maxBatch
	if len(merchants) > 1 {
		most = mixedBatch
	}
	taken := make(map[*creation]bool)
	for round := 0; round < most && len(batch) < maxBatch; round++ {
		for _, m := range merchants {
			if round >= len(offers[m]) || len(batch) == maxBatch {
				continue
			}
			n := offers[m][round]
			taken[n] = true
			for _, c := range n.claims {
				g.claimed[c] = true
			}
			if n.payment.Replaces != nil {
				g.goAlone(n)
			} else {
				batch = append(batch, n)
			}
		}
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(n *creation) bool { return taken[n] })
	in := func(m string) bool {
		return slices.ContainsFunc(batch, func(n *creation) bool { return n.payment.MerchantID == m })
	}
	return batch, slices.DeleteFunc(merchants, func(m string) bool { return !in(m) })
}

func (g *groupCommit) of(merchant string) *underWay {
	u := g.merchants[merchant]
	if u == nil {
		u = &underWay{}
		g.merchants[merchant] = u
	}
	return u
}

func (g *groupCommit) forget(merchant string) {
	if u := g.merchants[merchant]; u != nil && u.batches == 0 && u.working == 0 {
		delete(g.merchants, merchant)
	}
}

// goAlone has a creation written alone.
func (g *groupCommit) goAlone(n *creation) {
	u := g.of(n.payment.MerchantID)
	u.alone = append(u.alone, n)
	if u.working < aloneOfMerchant {
		u.working++
		go g.workAlone(n.payment.MerchantID)
	}
}

// workAlone writes what goes alone of a merchant. What waits for a lock gives way once to what does not.
func (g *groupCommit) workAlone(merchant string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.of(merchant)
	for len(u.alone) > 0 {
		n := u.alone[0]
		u.alone = slices.Delete(u.alone, 0, 1)
		g.mu.Unlock()
		wait := shortLockTimeout
		if !n.deadline.IsZero() {
			wait = max(wait, time.Until(n.deadline))
		}
		err := g.writeBatch([]*creation{n}, wait)
		g.mu.Lock()
		if errors.Is(err, store.ErrLockTimeout) && n.deadline.IsZero() {
			n.deadline = time.Now().Add(longLockTimeout)
			u.alone = append(u.alone, n)
			continue
		}
		g.settle(n, err)
	}
	u.working--
	g.forget(merchant)
}

// settle tells what came of a creation, and those who waited for the same key or order what that means for them.
func (g *groupCommit) settle(n *creation, err error) {
	n.done <- err
	for _, c := range n.claims {
		delete(g.claimed, c)
	}
	if len(n.claims) == 0 || len(g.waiting) == 0 {
		return
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w *creation) bool {
		verdict := follows(n, w, err)
		if verdict != nil {
			w.done <- verdict
		}
		return verdict != nil
	})
	if len(g.waiting) > 0 && g.working < groupCommits {
		g.working++
		go g.work(false)
	}
}

// follows is what the end of a creation means for one that waited, nil where it goes on by itself.
func follows(n, w *creation, err error) error {
	shares := func(kind string) bool {
		return slices.ContainsFunc(w.claims, func(c string) bool {
			return len(c) > len(kind) && c[:len(kind)+1] == kind+"\x00" && slices.Contains(n.claims, c)
		})
	}
	var unknown *unknownCommit
	switch {
	case !shares(claimKey) && !shares(claimOrder) && !shares(claimReplaced):
		return nil
	case shares(claimKey) && (err == nil || errors.Is(err, store.ErrIdempotencyTaken)):
		return store.ErrIdempotencyTaken
	case shares(claimOrder) && w.payment.Replaces == nil && (err == nil || errors.Is(err, store.ErrOrderTaken)):
		return store.ErrOrderTaken
	case errors.As(err, &unknown):
		return unknown.cause
	case errors.Is(err, store.ErrLockTimeout):
		if slices.Equal(n.claims, w.claims) { // it would wait for the same, as long again
			return err
		}
	case store.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return nil
}
