package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// GetEvent shows an event: the bytes that its deliveries send.
func (h *handlers) GetEvent(ctx context.Context, r GetEventRequestObject) (GetEventResponseObject, error) {
	if !models.IsID(models.PrefixEvent, r.ID) {
		return nil, NotFound("event")
	}
	x := callerOf(ctx)
	e, err := h.store.Event(ctx, x.merchant.ID, r.ID)
	if err == nil {
		err = h.shownEvent(ctx, x, e.ID)
	}
	if err != nil {
		return nil, h.orNotFound(err, "event")
	}
	header := http.Header{}
	switch pos, err := h.store.PositionOf(ctx, x.merchant.ID, e.ID); {
	case err == nil:
		header.Set(webhook.HeaderEventPosition, strconv.FormatInt(pos, 10))
	case !errors.Is(err, models.ErrNotFound):
		return nil, err
	}
	return savedAnswer{status: http.StatusOK, header: header, body: e.Body}, nil
}

// ListEvents shows events newest first, or with after oldest first in the order in which they were committed.
func (h *handlers) ListEvents(ctx context.Context, r ListEventsRequestObject) (ListEventsResponseObject, error) {
	x := callerOf(ctx)
	filter := store.EventFilter{Type: string(deref(r.Params.Type)), PaymentID: deref(r.Params.PaymentID), Test: x.key.Test}
	if r.Params.After != nil {
		if r.Params.Cursor != nil {
			return nil,
				Invalid(FieldError{Field: "cursor", Message: "cannot be given together with after: the next_cursor of such a " +
					"list is the next after", Example: exampleCursor})
		}
		return h.eventsAfter(ctx, x, filter, *r.Params.After, limitOf(r.Params.Limit))
	}
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := h.store.ListEvents(ctx, x.merchant.ID, filter, page)
	if err != nil {
		return nil, err
	}
	var next *string
	if n := len(rows); n > 0 {
		next = nextCursor(n, page.Limit, rows[n-1].CreatedAt, rows[n-1].ID)
	}
	ids := make([]string, len(rows))
	for i, e := range rows {
		ids[i] = e.ID
	}
	positions, err := h.store.Positions(ctx, ids)
	if err != nil {
		return nil, err
	}
	return eventList(rows, positions, next)
}

// shownEvent is nil unless the caller has a test key and the event is of live mode, which is not there for such a key.
func (h *handlers) shownEvent(ctx context.Context, x requestContext, id string) error {
	if !x.key.Test {
		return nil
	}
	test, err := h.store.EventIsTest(ctx, id)
	if err == nil && !test {
		return models.ErrNotFound
	}
	return err
}

func (h *handlers) eventsAfter(ctx context.Context, x requestContext, f store.EventFilter, after string,
	limit int) (ListEventsResponseObject, error) {
	from, err := h.bookmarkOf(ctx, x.merchant.ID, after)
	if err != nil {
		return nil, err
	}
	rows, err := h.store.EventsAfter(ctx, x.merchant.ID, f, from.pos, limit)
	if err != nil {
		return nil, err
	}
	events, positions := make([]models.Event, len(rows)), make(map[string]int64, len(rows))
	for i, r := range rows {
		events[i], positions[r.ID] = r.Event, r.Pos
		from = bookmark{r.Pos, r.ID}
	}
	next := from.seal() // never null: the reader asks again
	return eventList(events, positions, &next)
}

// bookmark is how far somebody has read: a position, and the event that had it, by which a place is found again in a
// database that lost what came after an older state of it.
type bookmark struct {
	pos int64
	id  string
}

// bookmarkSign begins a cursor that holds a place. The cursors of before there were positions hold two numbers.
const bookmarkSign = "p"

func (p bookmark) seal() string {
	return sealCursor(bookmarkSign, strconv.FormatInt(p.pos, 10), p.id)
}

// bookmarkOf reads after: nothing or 0, a position, an event id, or a cursor of now or of before there were positions.
func (h *handlers) bookmarkOf(ctx context.Context, merchantID, after string) (bookmark, error) {
	if after == "" {
		return bookmark{}, nil
	}
	if models.IsID(models.PrefixEvent, after) {
		return h.bookmarkOfEvent(ctx, merchantID, after)
	}
	if pos, err := strconv.ParseInt(after, 10, 64); err == nil {
		return h.bookmarkOfPosition(ctx, merchantID, bookmark{pos: pos})
	}
	if fields, ok := openCursor(after, 3); ok && fields[0] == bookmarkSign {
		pos, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil || pos < 0 || fields[2] != "" && !models.IsID(models.PrefixEvent, fields[2]) {
			return bookmark{}, badCursor("after")
		}
		return h.bookmarkOfPosition(ctx, merchantID, bookmark{pos, fields[2]})
	}
	fields, ok := openCursor(after, 2)
	if !ok {
		return bookmark{}, badCursor("after")
	}
	_, err := strconv.ParseUint(fields[0], 10, 64)
	seq, err2 := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || err2 != nil {
		return bookmark{}, badCursor("after")
	}
	pos, err := h.store.PositionOfMark(ctx, merchantID, fields[0], seq)
	return bookmark{pos: pos}, err
}

// bookmarkOfEvent is the place of an event, or, of one that is not there, the place of the time at which it was made.
func (h *handlers) bookmarkOfEvent(ctx context.Context, merchantID, id string) (bookmark, error) {
	pos, err := h.store.PositionOf(ctx, merchantID, id)
	if err == nil {
		return bookmark{pos, id}, nil
	} else if !errors.Is(err, models.ErrNotFound) {
		return bookmark{}, err
	}
	at, _ := models.TimeOfID(models.PrefixEvent, id)
	pos, err = h.store.PositionAtTime(ctx, merchantID, at)
	return bookmark{pos: pos}, err
}

// bookmarkOfPosition is a place as the database knows it now. Where another event has its position, or none had it yet,
// events that were there before are lost, and the time of the one that was read decides.
func (h *handlers) bookmarkOfPosition(ctx context.Context, merchantID string, p bookmark) (bookmark, error) {
	if p.pos <= 0 {
		return bookmark{}, nil
	}
	last, err := h.store.LastPosition(ctx, merchantID)
	if err != nil {
		return bookmark{}, err
	}
	if p.id == "" {
		if p.pos > last {
			return bookmark{}, Invalid(FieldError{Field: "after", Message: "is a position that no event has yet. 0 begins " +
				"with the oldest event; an event id is placed by its time, whatever was lost", Example: "0"})
		}
		return p, nil
	}
	there, err := h.store.EventAtPosition(ctx, merchantID, p.pos)
	if err != nil {
		return bookmark{}, err
	}
	if p.pos > last || there != "" && there != p.id {
		return h.bookmarkOfEvent(ctx, merchantID, p.id)
	}
	return p, nil
}

// eventList joins stored bodies into a list without touching their bytes; their positions are beside them.
func eventList(rows []models.Event, positions map[string]int64, next *string) (savedAnswer, error) {
	var b bytes.Buffer
	b.WriteString(`{"data":[`)
	for i, e := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e.Body)
	}
	cursor, err := json.Marshal(next)
	if err != nil {
		return savedAnswer{}, err
	}
	b.WriteString(`],"positions":[`)
	for i, e := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(positions[e.ID], 10))
	}
	b.WriteString(`],"next_cursor":`)
	b.Write(cursor)
	b.WriteByte('}')
	return savedAnswer{status: http.StatusOK, body: b.Bytes()}, nil
}
