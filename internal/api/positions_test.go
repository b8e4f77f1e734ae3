package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// eventsRead is a page of events.
type eventsRead struct {
	IDs       []string
	Positions []int64
	Next      string
}

func (c *counter) eventsAfter(t *testing.T, key, query string) eventsRead {
	t.Helper()
	list := decoded[struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
		Positions  []int64 `json:"positions"`
		NextCursor *string `json:"next_cursor"`
	}](t, c.ask(key, "GET", "/api/v1/events?"+query, ""), http.StatusOK)
	read := eventsRead{Positions: list.Positions}
	for _, e := range list.Data {
		read.IDs = append(read.IDs, e.ID)
	}
	if list.NextCursor != nil {
		read.Next = *list.NextCursor
	}
	if len(read.IDs) != len(read.Positions) {
		t.Fatalf("%d events, %d positions", len(read.IDs), len(read.Positions))
	}
	return read
}

// TestEventsAreReadByPosition: a reader goes on from a position, an event, or a cursor of now or of before there were
// positions; an event that is not known is placed by its time; and a reader who has seen what is lost misses nothing.
func TestEventsAreReadByPosition(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		_, other := c.merchant(t, "b", false)
		make := func() {
			decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"1"}`),
				http.StatusCreated)
		}
		for range 5 {
			make()
		}
		all := c.eventsAfter(t, key, "after=0")
		if !slices.Equal(all.Positions, []int64{1, 2, 3, 4, 5}) {
			t.Fatalf("%+v", all)
		}
		newest := c.eventsAfter(t, key, "limit=2")
		for i, id := range newest.IDs {
			if all.IDs[newest.Positions[i]-1] != id {
				t.Errorf("newest first: %s is at %d", id, newest.Positions[i])
			}
		}
		third, err := s.Event(t.Context(), merchant, all.IDs[2])
		if err != nil {
			t.Fatal(err)
		}
		xact := "18446744073709551615"
		if strings.HasSuffix(t.Name(), "sqlite") {
			xact = "0"
		}
		cursor := c.eventsAfter(t, key, "after=0&limit=3").Next
		for name, after := range map[string]string{"a position": "3", "an event": all.IDs[2], "a cursor": cursor,
			"a cursor of before": sealCursor(xact, strconv.FormatInt(third.Seq, 10))} {
			if got := c.eventsAfter(t, key, "after="+after); !slices.Equal(got.IDs, all.IDs[3:]) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		one := c.ask(key, "GET", "/api/v1/events/"+all.IDs[3], "")
		if got, err := webhook.PositionsOf(one.Result().Header); err != nil || !slices.Equal(got, []int64{4}) {
			t.Errorf("an event by itself is at %v, %v", got, err)
		}
		// Somebody else's event and one that nobody has: by their time, which is before all of ours or behind them.
		if got := c.eventsAfter(t, other, "after="+all.IDs[0]); len(got.IDs) != 0 || got.Next == "" {
			t.Errorf("another merchant's: %+v", got)
		}
		early := models.NewID(models.PrefixEvent, testNow().Add(-24*time.Hour))
		if got := c.eventsAfter(t, key, "after="+early); !slices.Equal(got.IDs, all.IDs) {
			t.Errorf("an unknown event of yesterday: %+v", got)
		}
		// A database that lost its newest events has fewer positions than the reader has seen, and gives them out again.
		lost := models.NewID(models.PrefixEvent, testNow())
		for _, p := range []bookmark{{9, lost}, {5, lost}} {
			if got := c.eventsAfter(t, key, "after="+p.seal()); len(got.IDs) == 0 {
				t.Errorf("a reader who has seen a lost event at %d is shown nothing", p.pos)
			}
		}
		end := c.eventsAfter(t, key, "after=5")
		if len(end.IDs) != 0 || end.Next == "" {
			t.Fatalf("%+v", end)
		}
		make()
		if got := c.eventsAfter(t, key, "after="+end.Next); !slices.Equal(got.Positions, []int64{6}) {
			t.Errorf("what is new: %+v", got)
		}
		for _, bad := range []string{"7", "evt_short", "cCAx", sealCursor("p", "x", ""), sealCursor("p", "-1", ""),
			sealCursor("p", "1", "evt_x")} {
			w := c.ask(key, "GET", "/api/v1/events?after="+bad, "")
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusBadRequest {
				t.Errorf("after=%s: %d %s", bad, w.Code, w.Body)
			}
		}
	})
}
