package scanner

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// forgetful gives no header of blocks before one, and counts the questions.
type forgetful struct {
	Source
	first uint64
	away  bool
	asked int
	wrong bool // it tells of a wrong filter
}

func (f *forgetful) Header(ctx context.Context, n uint64) (chain.Header, error) {
	if f.asked++; f.away || n < f.first {
		return chain.Header{}, errors.New("the node has let go of the block")
	}
	return f.Source.Header(ctx, n)
}

func (f *forgetful) Known() chain.Known {
	k := f.Source.Known()
	k.WrongBloom = k.WrongBloom || f.wrong
	return k
}

// TestFirstSince: the first block since a time is found, or the first one that the nodes still have; nodes that are
// away are an error.
func TestFirstSince(t *testing.T) {
	c := newMemoryChain(1)
	for range 1000 {
		c.extend(nil)
	}
	f := &forgetful{Source: c}
	for _, row := range []struct {
		since       int // the block at whose time it begins
		first, want uint64
	}{{0, 0, 0}, {-5, 0, 0}, {1, 0, 1}, {700, 0, 700}, {999, 0, 999}, {1000, 0, 1000}, {2000, 0, 1000}, {0, 400, 400},
		{700, 400, 700}, {300, 1000, 1000}, {400, 400, 400}} {
		f.first, f.asked = row.first, 0
		at := c.blocks[0].Time.Add(time.Duration(row.since) * time.Second)
		if got, err := FirstSince(t.Context(), f, 1000, at); got != row.want || err != nil || f.asked > 25 {
			t.Errorf("%+v: %d after %d questions, %v", row, got, f.asked, err)
		}
	}
	f.away = true
	if got, err := FirstSince(t.Context(), f, 1000, genesis); err == nil {
		t.Errorf("with nobody there: %d", got)
	}
	if got, err := FirstSince(t.Context(), f, 0, genesis); got != 0 || err != nil {
		t.Errorf("of the first block: %d, %v", got, err)
	}
}

// TestAWrongBloomHoldsUpNothing: where no node tells which blocks are to be read again, the chain goes on, and they are
// looked for later.
func TestAWrongBloomHoldsUpNothing(t *testing.T) {
	c, s := startDevnet(t), storetest.SQLite(t)
	mine(t, c, 3)
	h := through(t, s, c, nil, honest)
	source := &forgetful{Source: h.source, away: true, wrong: true}
	h.source = source
	p := h.ask(t, devnet.TokenSymbol, "5")
	if errs := h.payUntilFinal(t, c, p.Address, 5); len(errs) > 0 {
		t.Error(errs)
	}
	h.wantEvents(t, p, "created", "detected", "confirmed")
	known := func() bool {
		cursor, err := s.Cursor(t.Context(), h.chain.ChainID)
		if err != nil {
			t.Fatal(err)
		}
		return chain.ParseKnown(cursor.Known).WrongBloom
	}
	if known() || source.asked > 4 {
		t.Errorf("it is known after %d questions: %t", source.asked, known())
	}
	source.away, source.first = false, 2
	h.round.rereadFailed = time.Time{}
	mine(t, c, 1)
	h.catchUp(t)
	if !known() {
		t.Error("it is not known")
	}
}

// TestAFilterThatTheHashDoesNotCover: a node that changes the filter of a block says nothing about the chain.
func TestAFilterThatTheHashDoesNotCover(t *testing.T) {
	c := startDevnet(t)
	mine(t, c, 3)
	edited := false
	h := through(t, storetest.SQLite(t), c, hits, func(_ string, _, result json.RawMessage) (json.RawMessage, int) {
		return evmtest.Each(result, func(o evmtest.Object) {
			if _, ok := o["stateRoot"]; ok && edited {
				o["logsBloom"] = "0x01" + strings.Repeat("00", 255)
			}
		}), 0
	}, honest)
	p := h.ask(t, devnet.TokenSymbol, "5")
	h.payUntilFinal(t, c, p.Address, 5)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	edited = true
	p = h.ask(t, devnet.TokenSymbol, "5")
	h.payUntilFinal(t, c, p.Address, 5)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	if h.source.(*evm.Pool).Known().WrongBloom {
		t.Error("the filters of the chain are held to be wrong")
	}
}
