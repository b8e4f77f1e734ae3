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
	return savedAnswer{status: http.StatusOK, body: e.Body}, nil
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
	return eventList(rows, next)
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
	var mark store.Mark
	switch {
	case after == "" || after == "0":
	case models.IsID(models.PrefixEvent, after):
		m, err := h.store.MarkOf(ctx, x.merchant.ID, after)
		if err == nil {
			err = h.shownEvent(ctx, x, after)
		}
		if errors.Is(err, models.ErrNotFound) {
			return nil,
				Invalid(FieldError{Field: "after", Message: "names no event that you have: it is not yours, or its retention " +
					"ended. 0 begins with the oldest", Example: "0"})
		} else if err != nil {
			return nil, err
		}
		mark = m
	default:
		fields, ok := openCursor(after, 2)
		if !ok {
			return nil, badCursor("after")
		}
		seq, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, badCursor("after")
		}
		if _, err := strconv.ParseUint(fields[0], 10, 64); err != nil {
			return nil, badCursor("after")
		}
		mark = store.Mark{Xact: fields[0], Seq: seq}
	}
	rows, marks, err := h.store.EventsAfter(ctx, x.merchant.ID, f, mark, limit)
	if err != nil {
		return nil, err
	}
	if n := len(marks); n > 0 {
		mark = marks[n-1]
	}
	next := sealCursor(orZero(mark.Xact), strconv.FormatInt(mark.Seq, 10)) // never null: the reader asks again
	return eventList(rows, &next)
}

func orZero(xact string) string {
	if xact == "" {
		return "0"
	}
	return xact
}

// eventList joins stored bodies into a list without touching their bytes.
func eventList(rows []models.Event, next *string) (savedAnswer, error) {
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
	b.WriteString(`],"next_cursor":`)
	b.Write(cursor)
	b.WriteByte('}')
	return savedAnswer{status: http.StatusOK, body: b.Bytes()}, nil
}
