package client

import (
	"context"
	"errors"
	"iter"
	"strconv"
)

// pageSize is how many an iterator asks for at once, unless its parameters say otherwise.
const pageSize = 100

// pages walks a list to its end, a page at a time. The first error ends it.
func pages[T any](limit **int, cursor **string, list func() ([]T, *string, error)) iter.Seq2[T, error] {
	if *limit == nil {
		*limit = new(pageSize)
	}
	first := *cursor
	return func(yield func(T, error) bool) {
		for *cursor = first; ; {
			items, next, err := list()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			*cursor = next
		}
	}
}

// Payments walks all payments that match, newest first.
func (c *Client) Payments(ctx context.Context, params ListPaymentsParams, options ...Option) iter.Seq2[Payment, error] {
	return pages(&params.Limit, &params.Cursor, func() ([]Payment, *string, error) {
		page, err := c.ListPayments(ctx, params, options...)
		return page.Data, page.NextCursor, err
	})
}

// Deliveries walks all deliveries that match, newest first.
func (c *Client) Deliveries(ctx context.Context, params ListDeliveriesParams,
	options ...Option) iter.Seq2[Delivery, error] {
	return pages(&params.Limit, &params.Cursor, func() ([]Delivery, *string, error) {
		page, err := c.ListDeliveries(ctx, params, options...)
		return page.Data, page.NextCursor, err
	})
}

// WebhookEndpoints walks all webhook endpoints, newest first.
func (c *Client) WebhookEndpoints(ctx context.Context, params ListWebhookEndpointsParams,
	options ...Option) iter.Seq2[WebhookEndpoint, error] {
	return pages(&params.Limit, &params.Cursor, func() ([]WebhookEndpoint, *string, error) {
		page, err := c.ListWebhookEndpoints(ctx, params, options...)
		return page.Data, page.NextCursor, err
	})
}

// APIKeys walks all API keys, newest first, revoked ones included.
func (c *Client) APIKeys(ctx context.Context, params ListAPIKeysParams, options ...Option) iter.Seq2[APIKey, error] {
	return pages(&params.Limit, &params.Cursor, func() ([]APIKey, *string, error) {
		page, err := c.ListAPIKeys(ctx, params, options...)
		return page.Data, page.NextCursor, err
	})
}

// Events walks all events that match, newest first. Each is the body that was sent to endpoints, byte for byte;
// webhook.Decode reads it. With params.After it is [Client.EventsAfter].
func (c *Client) Events(ctx context.Context, params ListEventsParams, options ...Option) iter.Seq2[Event, error] {
	if params.After != nil {
		return c.eventsAfter(ctx, params, options)
	}
	return pages(&params.Limit, &params.Cursor, func() ([]Event, *string, error) {
		page, err := c.ListEvents(ctx, params, options...)
		return page.Data, page.NextCursor, err
	})
}

// EventsAfter catches up: it walks what happened after an event, oldest first in the order of commit, and ends when
// there is no more for now. Keep the id of each event that you have handled, and begin after it the next time; an empty
// id begins with the oldest event that is kept.
func (c *Client) EventsAfter(ctx context.Context, id string, options ...Option) iter.Seq2[Event, error] {
	return c.eventsAfter(ctx, ListEventsParams{After: &id}, options)
}

// PositionedEvent is an event and its position among those of its merchant, which a webhook tells in
// ctrip-event-position.
type PositionedEvent struct {
	Event    Event
	Position int64
}

// EventsFrom walks the events behind a position in their order, 0 for all that are kept, and ends when there is no more
// for now. What lies between two positions that it yields, one after the other, is not there: whoever read from one
// position to another has missed nothing between them. webhook.Positions keeps account of that.
func (c *Client) EventsFrom(ctx context.Context, position int64, options ...Option) iter.Seq2[PositionedEvent, error] {
	params := ListEventsParams{After: new(strconv.FormatInt(position, 10))}
	return pages(&params.Limit, &params.After, func() ([]PositionedEvent, *string, error) {
		page, err := c.ListEvents(ctx, params, options...)
		if err == nil && len(page.Positions) != len(page.Data) {
			err = errors.New("client: the gateway tells no positions: it is older than they are")
		}
		if err != nil || len(page.Data) == 0 {
			return nil, nil, err
		}
		events := make([]PositionedEvent, len(page.Data))
		for i := range page.Data {
			events[i] = PositionedEvent{page.Data[i], page.Positions[i]}
		}
		return events, page.NextCursor, nil
	})
}

func (c *Client) eventsAfter(ctx context.Context, params ListEventsParams, options []Option) iter.Seq2[Event, error] {
	return pages(&params.Limit, &params.After, func() ([]Event, *string, error) {
		page, err := c.ListEvents(ctx, params, options...)
		if len(page.Data) == 0 {
			page.NextCursor = nil // never null with after, so that one can ask again
		}
		return page.Data, page.NextCursor, err
	})
}
