package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ExportPayments streams all payments that match as CSV, with a header line. Close it. An export that was cut short
// ends with an error, never with io.EOF.
func (c *Client) ExportPayments(ctx context.Context, params ListPaymentsParams,
	options ...Option) (io.ReadCloser, error) {
	return c.export(ctx, "/api/v1/payments", params.query(), options)
}

// ExportDeliveries streams all deliveries that match as CSV, as [Client.ExportPayments] does payments.
func (c *Client) ExportDeliveries(ctx context.Context, params ListDeliveriesParams,
	options ...Option) (io.ReadCloser, error) {
	return c.export(ctx, "/api/v1/deliveries", params.query(), options)
}

func (c *Client) export(ctx context.Context, path string, query url.Values, options []Option) (io.ReadCloser, error) {
	r, err := c.request(http.MethodGet, path, query, nil,
		append([]Option{func(r *request) { r.header.Set("Accept", "text/csv") }}, options...))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	var body io.ReadCloser
	err = c.insist(ctx, r, func(ctx context.Context) error {
		res, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		if res.StatusCode == http.StatusOK {
			body = res.Body
			return nil
		}
		a, err := take(res)
		if err != nil {
			return err
		}
		if r.into != nil {
			*r.into = a
		}
		return problemOf(a.Status, a.Header, a.Body, time.Now())
	})
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return body, nil
}
