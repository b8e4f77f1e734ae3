package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/receivertest"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func (sh *shell) webhookReplayTest() *cobra.Command {
	var secretFile, secretVar, effects string
	timeout := duration(10 * time.Second)
	var batches bool
	c := &cobra.Command{
		Use: "replay-test URL", Short: "Fire duplicates, stale and forged requests at a receiver", Args: cobra.ExactArgs(1),
		Long: `Fire at a receiver what an attacker, a network and a gateway that retries would, signed with its secret, and tell what it let
through: duplicates, one after the other and at once, stale and future timestamps, tampered bodies and headers, cut signatures,
strangers' signatures, events out of order and of types that do not exist yet; with --batches, batches of events that came
before, for an endpoint that asked for batches.

What is sent is about made-up payments of test money with orders that begin with sample-order. A receiver says with its answer
what it accepted; to judge what it did, name a URL with --effect-url that answers a GET with what it made of its events, such
as its list of orders. Where that lists what was done for each order, copies that count more than once show. Exits with 1 when something was let through, or something genuine was not. Needs no settings.`,
		Example: `  ctripctl webhook replay-test http://localhost:8000/hooks --secret-file secret.txt
  ctripctl webhook replay-test http://localhost:8000/hooks --secret-env WEBHOOK_SECRET --effect-url http://localhost:8000/orders`,
		RunE: sh.do(func(ctx context.Context, args []string) error {
			var secret webhook.Secret
			var err error
			if secretVar != "" {
				secret, err = namedSecret(secretVar)
			} else {
				secret, err = sh.readSecret(secretFile)
			}
			if err != nil {
				return err
			}
			report, err := receivertest.Run(ctx, receivertest.Options{
				URL: args[0], Secret: secret, EffectURL: effects, Batches: batches, Timeout: time.Duration(timeout), Now: time.Now,
			})
			if err != nil {
				return err
			}
			return sh.printReceiver(report)
		}),
	}
	c.Flags().StringVar(&secretFile, "secret-file", "", "file with the endpoint's secret, - for standard input")
	c.Flags().StringVar(&secretVar, "secret-env", "", "name of an environment variable with the endpoint's secret")
	c.Flags().StringVar(&effects, "effect-url", "", "URL that shows what the receiver made of its events")
	c.Flags().BoolVar(&batches, "batches", false, "fire batches too")
	c.Flags().Var(&timeout, "timeout", "how long one request may take")
	c.MarkFlagsOneRequired("secret-file", "secret-env")
	c.MarkFlagsMutuallyExclusive("secret-file", "secret-env")
	return c
}

func (sh *shell) printReceiver(report receivertest.Report) error {
	err := sh.answer(report, func() error {
		var rows [][]string
		for _, r := range report.Results {
			verdict, answer, effect := "ok", strconv.Itoa(r.Status), "-"
			if r.Error != "" {
				answer = r.Error
			}
			if !r.OK {
				verdict = "FAILED: " + r.Why
			}
			if r.Effect != nil {
				effect = map[bool]string{true: "yes", false: "no"}[*r.Effect]
			}
			rows = append(rows, []string{r.Name, r.Want, answer, effect, verdict})
		}
		if err := sh.table("REQUEST SHOULD_BE ANSWER EFFECT VERDICT", "", rows); err != nil {
			return err
		}
		_, err := fmt.Fprintf(sh.out, "\n%d of %d requests were met as they should be.\n", len(report.Results)-report.Failed,
			len(report.Results))
		return err
	})
	if err == nil && !report.OK() {
		err = errSaid
	}
	return err
}
