package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// listenFlags are what listen is told.
type listenFlags struct {
	to, secretFile, secretVar, since string
	patterns                         []string
	remote                           bool
	attempts                         int
}

func (f *listenFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.to, "forward-to", "", "URL of the receiver (required)")
	flags.StringSliceVar(&f.patterns, "events", []string{webhook.PatternAll},
		"event types, payment.* or *, comma-separated")
	flags.StringVar(&f.since, "since", "",
		"begin with what happened since: 1h, an RFC 3339 time, an event id, or 0 for the oldest (default now)")
	flags.StringVar(&f.secretFile, "secret-file", "",
		"file with the secret to sign with, - for standard input (default a new one)")
	flags.StringVar(&f.secretVar, "secret-env", "", "name of an environment variable with the secret to sign with")
	flags.IntVar(&f.attempts, "attempts", 4, "how often an event is tried, 1s, 2s, 4s and so on apart")
	flags.BoolVar(&f.remote, "allow-remote", false, "let the receiver be on another machine")
	c.MarkFlagsMutuallyExclusive("secret-file", "secret-env")
	suggest(c, "events", eventPatterns())
}

func (sh *shell) listen() *cobra.Command {
	f := &listenFlags{}
	c := &cobra.Command{
		Use: "listen", Short: "Forward a merchant's events to a receiver on this machine, signed", Args: cobra.NoArgs,
		Long: `Forward a merchant's events to a receiver on this machine, as the gateway would send them: the same bytes and webhook-id,
both signatures, a fresh timestamp. It reads them from the API, so that no address of yours needs to be reachable, and no
endpoint is made. The secret is made at each start and printed, unless you give one; it is not that of any endpoint.

It starts with what happens from now on. What the receiver does not answer with 2xx is tried again, under the same id, and
left behind after the last attempt; events come one after another, in the order of commit. It waits for an API that is away
and ends with Ctrl-C.

A receiver on another machine needs --allow-remote: events tell of payments, and plain http shows them to everybody between.

` + apiSettings,
		Example: `  ctripctl listen --forward-to http://127.0.0.1:4242/hooks
  ctripctl listen --forward-to 127.0.0.1:4242/hooks --events payment.confirmed,payment.reorged --since 1h
  ctripctl listen --forward-to http://127.0.0.1:4242/hooks --secret-env WEBHOOK_SECRET`,
		RunE: sh.do(func(ctx context.Context, _ []string) error { return sh.forward(ctx, f) }),
	}
	f.add(c)
	sh.reaches(c)
	return require(c, "forward-to")
}

// forward does what listen was told until ctx ends.
func (sh *shell) forward(ctx context.Context, f *listenFlags) error {
	o := admin.ListenOptions{
		URL: f.to, AllowRemote: f.remote, Patterns: f.patterns, Attempts: f.attempts, Now: time.Now,
		OnAttempt: sh.printForwarded, OnUnavailable: sh.printUnavailable,
	}
	if !strings.Contains(f.to, "://") {
		o.URL = "http://" + f.to
	}
	var err error
	if o.After, o.Since, err = beginning(f.since, time.Now()); err != nil {
		return err
	}
	made := false
	switch {
	case f.secretFile != "":
		o.Secret, err = sh.readSecret(f.secretFile)
	case f.secretVar != "":
		o.Secret, err = namedSecret(f.secretVar)
	default:
		made = true
		o.Secret, err = webhook.NewSecret(nil)
	}
	if err != nil {
		return err
	}
	if o.API, err = sh.caller(); err != nil {
		return err
	}
	o.OnStart = func() error { return sh.printListening(o, made) }
	l, err := admin.NewListener(o)
	if err != nil {
		return usageError{err}
	}
	return l.Run(ctx)
}

// beginning reads --since: behind an event, or at a time.
func beginning(s string, now time.Time) (after string, at time.Time, err error) {
	if s == "" || s == "0" || models.IsID(models.PrefixEvent, s) {
		return s, at, nil
	}
	if at, err = time.Parse(time.RFC3339, s); err == nil {
		return "", at, nil
	}
	ago, err := config.ParseDuration(s)
	if err != nil || ago <= 0 {
		return "", at,
			misused("--since must be a duration such as 1h, a time such as 2026-11-23T10:00:00Z, an event id, or 0")
	}
	return "", now.Add(-ago), nil
}

// printLine prints one line of JSON; what listen says has no end.
func (sh *shell) printLine(v any) error {
	enc := json.NewEncoder(sh.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (sh *shell) printListening(o admin.ListenOptions, made bool) error {
	secret := "the one that you gave"
	if made {
		secret = o.Secret.Reveal()
	}
	if sh.json {
		line := struct {
			To     string   `json:"forward_to"`
			Events []string `json:"events"`
			Secret *string  `json:"secret"`
		}{To: o.URL, Events: o.Patterns}
		if made {
			line.Secret = &secret
		}
		return sh.printLine(line)
	}
	_, err := fmt.Fprintf(sh.out, "Forwarding %s to %s. Ctrl-C ends it.\nSigned with the secret %s\n\n",
		strings.Join(o.Patterns, ","), o.URL, secret)
	return err
}

// printForwarded prints a try: when, what, and what the receiver made of it.
func (sh *shell) printForwarded(f admin.Forwarded) {
	if sh.json {
		_ = sh.printLine(f)
		return
	}
	verdict := fmt.Sprintf("%d in %d ms", f.Status, f.Millis)
	if f.Status == 0 {
		verdict = f.Error
	}
	switch {
	case f.RetryIn > 0:
		verdict += fmt.Sprintf(", attempt %d, again in %s", f.Attempt, f.RetryIn)
	case !f.OK:
		verdict += fmt.Sprintf(", attempt %d, given up", f.Attempt)
	case f.Attempt > 1:
		verdict += fmt.Sprintf(", attempt %d", f.Attempt)
	}
	fmt.Fprintf(sh.out, "%s  %-24s %s  %s\n", time.Now().Format(time.TimeOnly), f.Type, f.EventID, verdict)
}

// printUnavailable tells that the API did not answer.
func (sh *shell) printUnavailable(err error) {
	var p *client.Problem
	if errors.As(err, &p) {
		err = p
	}
	fmt.Fprintf(sh.err, "the API is away, and is asked again: %v\n", err)
}
