package client

import (
	"context"
	"iter"
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

func (c *Client) eventsAfter(ctx context.Context, params ListEventsParams, options []Option) iter.Seq2[Event, error] {
	return pages(&params.Limit, &params.After, func() ([]Event, *string, error) {
		page, err := c.ListEvents(ctx, params, options...)
		if len(page.Data) == 0 {
			page.NextCursor = nil // never null with after, so that one can ask again
		}
		return page.Data, page.NextCursor, err
	})
}
