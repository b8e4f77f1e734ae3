package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const outUsage = "file to write, readable by you alone (default standard output)"

// each hands over every item of a list, until one cannot be had or taken.
func each[T any](list iter.Seq2[T, error], yield func(any) error) error {
	for item, err := range list {
		if err == nil {
			err = yield(item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (sh *shell) apiEvent() *cobra.Command {
	return sh.group("event", "Read what happened", sh.apiEventList(), sh.apiEventGet())
}

func (sh *shell) apiEventList() *cobra.Command {
	var kind, payment, after string
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List events, newest first, or what happened after one of them", Args: cobra.NoArgs,
		Long: `List events, newest first. With --after, which takes a position, the id of an event or what the list before printed as the next
one, and 0 for the beginning, they are listed oldest first in the order of commit: this is how to catch up.`,
	}
	c.RunE = sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
		params := client.ListEventsParams{Type: given(webhook.EventType(kind)), PaymentID: given(payment), Limit: &p.limit,
			Cursor: given(p.cursor)}
		if c.Flags().Changed("after") {
			params.After = &after
		}
		list, err := api.ListEvents(ctx, params, api.options...)
		return api.print(err, func() error {
			var rows [][]string
			for i, body := range list.Data {
				e, err := webhook.Decode(body)
				if err != nil {
					return err
				}
				payment := ""
				if e.Data.Payment != nil {
					payment = e.Data.Payment.ID
				}
				position := ""
				if i < len(list.Positions) {
					position = fmt.Sprint(list.Positions[i])
				}
				rows = append(rows, []string{position, e.ID, string(e.Type), payment, stamped(&e.CreatedAt)})
			}
			if err := sh.table("POSITION ID TYPE PAYMENT CREATED", "There are no such events.", rows); err != nil ||
				list.NextCursor == nil {
				return err
			}
			flag := "There is more: --cursor"
			if params.After != nil {
				flag = "To go on: --after"
			}
			_, err := fmt.Fprintf(sh.out, "\n%s %s\n", flag, *list.NextCursor)
			return err
		})
	})
	c.Flags().StringVar(&kind, "type", "", "only events of this type")
	c.Flags().StringVar(&payment, "payment", "", "only events of this payment")
	c.Flags().StringVar(&after, "after", "", "only what happened after this event, oldest first")
	p.add(c)
	c.MarkFlagsMutuallyExclusive("after", "cursor")
	suggest(c, "type", webhook.EventTypes())
	return c
}

func (sh *shell) apiEventGet() *cobra.Command {
	return &cobra.Command{
		Use: "get EVENT", Short: "Show an event, with --json as the bytes that were sent", Args: cobra.ExactArgs(1),
		Long: "Show an event. With --json it is printed byte for byte as it was sent to endpoints, without a line end " +
			"behind it, so that it can be signed.",
		Example: "  ctripctl api event get evt_… --json | ctripctl webhook sign --secret-file secret.txt --body -",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			body, err := api.GetEvent(ctx, args[0], api.options...)
			if err != nil {
				return err
			}
			if !sh.json {
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, body, "", "  "); err != nil {
					return err
				}
				pretty.WriteByte('\n')
				body = pretty.Bytes()
			}
			_, err = sh.out.Write(body)
			return err
		}),
	}
}

func (sh *shell) apiDelivery() *cobra.Command {
	return sh.group("delivery", "See how events reached endpoints, and deliver again",
		sh.apiDeliveryList(), sh.apiDeliveryGet(), sh.apiDeliveryRedeliver(), sh.apiDeliveryExport())
}

// deliveryFilter are the flags that choose deliveries.
type deliveryFilter struct {
	endpoint, event, kind, state string
	span
}

func (f *deliveryFilter) add(c *cobra.Command) {
	c.Flags().StringVar(&f.endpoint, "endpoint", "", "only deliveries to this endpoint")
	c.Flags().StringVar(&f.event, "event", "", "only deliveries of this event")
	c.Flags().StringVar(&f.kind, "type", "", "only deliveries of events of this type")
	c.Flags().StringVar(&f.state, "state", "", "only deliveries in this state")
	f.span.add(c)
	suggest(c, "type", webhook.EventTypes())
	suggest(c, "state", models.DeliveryStates)
}

func (f *deliveryFilter) params() client.ListDeliveriesParams {
	return client.ListDeliveriesParams{
		EndpointID: given(f.endpoint), EventID: given(f.event), EventType: given(webhook.EventType(f.kind)),
		State: given(client.DeliveryState(f.state)), CreatedAfter: f.after.orNil(), CreatedBefore: f.before.orNil(),
	}
}

func (sh *shell) apiDeliveryList() *cobra.Command {
	var f deliveryFilter
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List deliveries, newest first", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			params := f.params()
			params.Limit, params.Cursor = &p.limit, given(p.cursor)
			list, err := api.ListDeliveries(ctx, params, api.options...)
			return api.page(err, "ID EVENT TYPE ENDPOINT STATE ATTEMPTS LAST CREATED", "There are no such deliveries.",
				list.NextCursor, func() (rows [][]string) {
					for _, d := range list.Data {
						last := orEmpty(d.LastClass)
						if d.LastStatus != nil {
							last += fmt.Sprintf(" (%d)", *d.LastStatus)
						}
						rows = append(rows, []string{d.ID, d.EventID, string(d.EventType), d.EndpointID, string(d.State),
							fmt.Sprint(d.Attempts), last, stamped(&d.CreatedAt)})
					}
					return rows
				})
		}),
	}
	f.add(c)
	p.add(c)
	return c
}

func (sh *shell) apiDeliveryGet() *cobra.Command {
	return &cobra.Command{
		Use: "get DELIVERY", Short: "Show a delivery with every attempt", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printAttempts(api.GetDelivery(ctx, args[0], api.options...))
		}),
	}
}

func (api *apiClient) printAttempts(d client.DeliveryDetail, err error) error {
	return api.print(err, func() error {
		err := api.sh.facts("", "delivery", d.ID, "event", d.EventID, "type", string(d.EventType), "endpoint", d.EndpointID,
			"payment", orEmpty(d.PaymentID),
			"state", string(d.State), "attempts", fmt.Sprintf("%d of %d", d.Attempts, d.MaxAttempts), "next attempt",
			stamped(d.NextAttemptAt),
			"dead because", orEmpty(d.DeadReason), "replay of", orEmpty(d.ReplayOf), "created", stamped(&d.CreatedAt),
			"delivered", stamped(d.DeliveredAt))
		if err != nil || len(d.AttemptLog) == 0 {
			return err
		}
		var rows [][]string
		for _, a := range d.AttemptLog {
			rows = append(rows, []string{fmt.Sprint(a.Number), stamped(&a.StartedAt), a.Class, number(a.Status),
				fmt.Sprintf("%.0fms", a.TimingsMs.Total), orEmpty(a.RemoteIP), orEmpty(a.Error)})
		}
		if _, err := fmt.Fprintln(api.sh.out); err != nil {
			return err
		}
		return api.sh.table("ATTEMPT STARTED CLASS STATUS TOOK ADDRESS ERROR", "", rows)
	})
}

func (sh *shell) apiDeliveryRedeliver() *cobra.Command {
	return once(&cobra.Command{
		Use: "redeliver DELIVERY", Short: "Deliver again: the same bytes under the same webhook-id", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			d, err := api.Redeliver(ctx, args[0], api.options...)
			return api.print(err, func() error {
				return sh.facts("", "delivery", d.ID, "event", d.EventID, "endpoint", d.EndpointID, "state", string(d.State),
					"replay of", orEmpty(d.ReplayOf))
			})
		}),
	})
}

func (sh *shell) apiDeliveryExport() *cobra.Command {
	var f deliveryFilter
	var file string
	c := &cobra.Command{
		Use: "export", Short: "Print all deliveries that match as CSV", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			return api.export(file,
				func() (io.ReadCloser, error) { return api.ExportDeliveries(ctx, f.params(), api.options...) },
				func(yield func(any) error) error { return each(api.Deliveries(ctx, f.params()), yield) })
		}),
	}
	f.add(c)
	c.Flags().StringVar(&file, "out", "", outUsage)
	return c
}
