package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// A payment is created once under its Idempotency-Key, however often the program that does it begins anew.
func Example() {
	_, key := gw.NewMerchant()
	c, err := client.New(client.Options{URL: gw.URL, Key: key})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	order := client.PaymentCreate{Chain: "devnet", Asset: "DEMO", AmountDecimal: new("12.5"), OrderID: new("A-17")}
	p, err := c.CreatePayment(ctx, order, client.IdempotencyKey("A-17:1"))
	if err != nil {
		panic(err)
	}
	again, err := c.CreatePayment(ctx, order, client.IdempotencyKey("A-17:1"))
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Status, p.Amount, p.Asset.Symbol)
	fmt.Println("the same payment:", again.ID == p.ID && again.Address == p.Address)
	// Output:
	// pending 12500000000000000000 DEMO
	// the same payment: true
}

func ExampleProblem() {
	_, err := merchant().CreatePayment(context.Background(),
		client.PaymentCreate{Chain: "devnet", Asset: "DEMO", Amount: new("1.5"), ExpiresIn: new(5)})
	var p *client.Problem
	if errors.As(err, &p) {
		fmt.Println(p.Status, p.Code)
		for _, e := range p.Errors {
			fmt.Printf("%s %s, such as %s\n", e.Field, e.Message, e.Example)
		}
		fmt.Println("a request id to ask the operator with:", p.RequestID != "")
	}
	// Output:
	// 400 invalid_request
	// amount must be a whole number of base units; for whole units such as 1.5 use amount_decimal instead, such as 1500000
	// expires_in must be at least 60, such as 1800
	// a request id to ask the operator with: true
}

func ExampleClient_Payments() {
	c, ctx := merchant(), context.Background()
	for _, order := range []string{"A-1", "A-2", "A-3"} {
		if _, err := c.CreatePayment(ctx, client.PaymentCreate{Chain: "devnet", Asset: "native", Amount: new("1000"),
			OrderID: &order}); err != nil {
			panic(err)
		}
	}
	for p, err := range c.Payments(ctx, client.ListPaymentsParams{Status: new(client.PaymentStatusPending)}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(*p.OrderID, p.Status)
	}
	// Output:
	// A-3 pending
	// A-2 pending
	// A-1 pending
}

// A merchant who lost his receiver reads what he missed, and keeps the id of what he has handled.
func ExampleClient_EventsAfter() {
	c, ctx := merchant(), context.Background()
	p, err := c.CreatePayment(ctx, client.PaymentCreate{Chain: "devnet", Asset: "native", Amount: new("1000")})
	if err != nil {
		panic(err)
	}
	if _, err := c.CancelPayment(ctx, p.ID); err != nil {
		panic(err)
	}
	handled, left := "", 2                              // begins with the oldest
	for ; left > 0; time.Sleep(20 * time.Millisecond) { // what is new is shown once nothing older can come before it
		for body, err := range c.EventsAfter(ctx, handled) {
			if err != nil {
				panic(err)
			}
			e, err := webhook.Decode(body)
			if err != nil {
				panic(err)
			}
			fmt.Println(e.Type, e.Data.Payment.ID == p.ID)
			handled = e.ID
			left--
		}
	}
	// Output:
	// payment.created true
	// payment.canceled true
}

// A setting is left as it is, set, or put back to the deployment's default, and nobody's change is overwritten.
func ExampleClient_UpdateWebhookEndpoint() {
	c, ctx := merchant(), context.Background()
	made, err := c.CreateWebhookEndpoint(ctx,
		client.WebhookEndpointCreate{URL: "http://127.0.0.1:1/hooks", Events: &[]string{"payment.*"}, MaxAttempts: new(3)})
	if err != nil {
		panic(err)
	}
	var seen client.Answer
	if _, err := c.GetWebhookEndpoint(ctx, made.ID, client.Into(&seen)); err != nil {
		panic(err)
	}
	change := client.WebhookEndpointUpdate{Timeout: client.Set(5), MaxAttempts: client.Default[int]()}
	e, err := c.UpdateWebhookEndpoint(ctx, made.ID, change, client.IfMatch(seen.ETag()))
	if err != nil {
		panic(err)
	}
	fmt.Println(*e.Timeout, e.MaxAttempts == nil, e.Events)
	_, err = c.UpdateWebhookEndpoint(ctx, made.ID, change, client.IfMatch(seen.ETag()))
	var p *client.Problem
	fmt.Println(errors.As(err, &p) && p.Code == "version_mismatch")
	// Output:
	// 5 true [payment.*]
	// true
}

func ExampleClient_ExportPayments() {
	c, ctx := merchant(), context.Background()
	if _, err := c.CreatePayment(ctx, client.PaymentCreate{Chain: "devnet", Asset: "native", Amount: new("1000"),
		OrderID: new("A-1")}); err != nil {
		panic(err)
	}
	csv, err := c.ExportPayments(ctx, client.ListPaymentsParams{})
	if err != nil {
		panic(err)
	}
	defer csv.Close()
	text, err := io.ReadAll(csv)
	if err != nil {
		panic(err)
	}
	lines := strings.Split(string(text), "\n")
	fmt.Println(lines[0][:24])
	fmt.Println(strings.Contains(lines[1], ",A-1,pending,"))
	// Output:
	// id,order_id,status,parti
	// true
}
