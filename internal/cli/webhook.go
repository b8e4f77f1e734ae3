package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func (sh *shell) webhook() *cobra.Command {
	return sh.group("webhook", "Verify and sign webhook requests, and try receivers", sh.webhookVerify(), sh.webhookSign(),
		sh.webhookReplayTest())
}

// moment is a flag for a time: RFC 3339 or Unix seconds.
type moment struct{ time.Time }

func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

func (m *moment) Set(s string) error {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		m.Time = time.Unix(n, 0).UTC()
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return errors.New("want RFC 3339, such as 2026-11-23T10:00:00Z, or Unix seconds")
	}
	m.Time = t.UTC()
	return nil
}

func (*moment) Type() string { return "time" }

func (m *moment) orNow() time.Time {
	if m.IsZero() {
		return time.Now()
	}
	return m.Time
}

// readSecret reads a file that holds one webhook secret. Its errors name the file and nothing that it holds.
func (sh *shell) readSecret(path string) (webhook.Secret, error) {
	text, err := sh.readLine(path)
	if err != nil {
		return webhook.Secret{}, err
	}
	secret, err := webhook.ParseSecret(text)
	if err != nil {
		return secret, fmt.Errorf("%s: %w", path, err)
	}
	return secret, nil
}

// namedSecret reads a secret from the environment variable that a flag named. Its errors name the variable only.
func namedSecret(name string) (webhook.Secret, error) {
	secret, err := webhook.ParseSecret(config.Variable(name).Reveal())
	if err != nil {
		return secret, fmt.Errorf("$%s: %w", name, err)
	}
	return secret, nil
}

// onlyOneStdin refuses to read standard input twice.
func onlyOneStdin(paths ...string) error {
	if first := slices.Index(paths, "-"); first >= 0 && slices.Contains(paths[first+1:], "-") {
		return misused("standard input (-) can be read once")
	}
	return nil
}

// verifyFlags are what webhook verify is told.
type verifyFlags struct {
	secretFiles, secretVars                       []string
	request, headers, body, keySet, merchant, rpc string
	at                                            moment
	tolerance                                     duration
}

func (f *verifyFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.secretFiles, "secret-file", nil,
		"file with a secret of the endpoint, - for standard input; may be repeated")
	flags.StringArrayVar(&f.secretVars, "secret-env", nil,
		"name of an environment variable with a secret of the endpoint; may be repeated")
	flags.StringVar(&f.keySet, "keys-file", "",
		"file with the JSON of /.well-known/webhook-keys.json, to go by Ed25519 signatures; needs --merchant")
	flags.StringVar(&f.merchant, "merchant", "", "id of the merchant whose events are expected")
	flags.StringVar(&f.rpc, "rpc", "", "URL of a node to hold the transfers against")
	flags.StringVar(&f.request, "request", "", "file with the saved request, - for standard input")
	flags.StringVar(&f.headers, "headers", "", "file with the headers alone")
	flags.StringVar(&f.body, "body", "", "file with the raw body alone")
	flags.Var(&f.at, "at", "judge as of this time, RFC 3339 or Unix seconds (default now)")
	flags.Var(&f.tolerance, "tolerance", "how far webhook-timestamp may lie from that time")
	c.MarkFlagsRequiredTogether("headers", "body")
	c.MarkFlagsMutuallyExclusive("request", "headers")
	c.MarkFlagsOneRequired("request", "headers")
	c.MarkFlagsRequiredTogether("keys-file", "merchant")
	c.MarkFlagsOneRequired("secret-file", "secret-env", "keys-file")
}

func (sh *shell) webhookVerify() *cobra.Command {
	f := &verifyFlags{tolerance: duration(webhook.DefaultTolerance)}
	c := &cobra.Command{
		Use: "verify", Short: "Judge a saved webhook request as its receiver would", Args: cobra.NoArgs,
		Long: `Judge a saved webhook request as its receiver would, and say which signature fits and which does not.

A saved request is header lines, an empty line and the raw body, as in an HTTP message; or two files. Exits with 1 when a
receiver must refuse the request. Needs no settings and no network.

With --rpc every transfer in the request is then held against a node of your choice: that the transaction succeeded, in this
block, that the node still has this block, and that this amount of this asset went from this sender to the payment's address; and
what was received and confirmed against their sum. What no receipt can tell, such as money that a contract passed on, is called
unprovable. Exits with 1 when the node contradicts, is of another chain or does not answer.`,
		Example: `  ctripctl webhook verify --secret-file secret.txt --request saved.http
  ctripctl webhook verify --secret-file old.txt --secret-file new.txt --headers headers.txt --body body.json --at 2026-11-23T10:00:05Z
  ctripctl webhook verify --secret-file secret.txt --request saved.http --rpc https://ethereum.example`,
		RunE: sh.do(func(ctx context.Context, _ []string) error { return sh.verify(ctx, f) }),
	}
	f.add(c)
	return c
}

// verify judges the saved request and, with --rpc, its transfers.
func (sh *shell) verify(ctx context.Context, f *verifyFlags) error {
	if err := onlyOneStdin(append(f.secretFiles, f.request, f.headers, f.body, f.keySet)...); err != nil {
		return err
	}
	secrets, err := sh.secrets(f.secretFiles, f.secretVars)
	if err != nil {
		return err
	}
	h, raw, err := sh.readRequest(f.request, f.headers, f.body)
	if err != nil {
		return err
	}
	keys, err := sh.publicKeys(f.keySet)
	if err != nil {
		return err
	}
	v := admin.Verify(h, raw, secrets, f.at.orNow(), time.Duration(f.tolerance),
		webhook.WithPublicKeys(f.merchant, keys...))
	if f.rpc != "" && v.Verified {
		if err := v.Prove(ctx, f.rpc); err != nil {
			return err
		}
	}
	return sh.printVerdict(v)
}

// secrets reads the secrets in the named files, then those in the named variables.
func (sh *shell) secrets(files, variables []string) ([]webhook.Secret, error) {
	var secrets []webhook.Secret
	for _, path := range files {
		s, err := sh.readSecret(path)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, s)
	}
	for _, name := range variables {
		s, err := namedSecret(name)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, s)
	}
	return secrets, nil
}

// publicKeys reads a key set, if a file was named.
func (sh *shell) publicKeys(path string) ([]webhook.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	document, err := sh.read(path)
	if err != nil {
		return nil, err
	}
	keys, err := webhook.ParseKeySet(document)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func (sh *shell) readRequest(request, headers, body string) (http.Header, []byte, error) {
	if request != "" {
		saved, err := sh.read(request)
		if err != nil {
			return nil, nil, err
		}
		return admin.ParseRequest(saved)
	}
	lines, err := sh.read(headers)
	if err != nil {
		return nil, nil, err
	}
	h, err := admin.ParseHeaders(lines)
	if err != nil {
		return nil, nil, err
	}
	raw, err := sh.read(body)
	return h, raw, err
}

func (sh *shell) printVerdict(v admin.Verdict) error {
	err := sh.answer(v, func() error {
		pairs := []string{"verified", map[bool]string{true: "yes", false: "no"}[v.Verified]}
		for _, s := range v.Schemes {
			verdict := s.Problem
			if s.OK {
				verdict = "fits"
			}
			pairs = append(pairs, strings.ToLower(s.Header), verdict)
		}
		pairs = append(pairs, "id", v.ID, "sent", when(v.Timestamp))
		for _, e := range v.Events {
			pairs = append(pairs, "event", e.Type+" "+e.ID)
		}
		for _, t := range v.Transfers {
			pairs = append(pairs, "transfer", strings.TrimSpace(fmt.Sprintf("%s: %s of %s in %s %s", t.Finding, t.Amount,
				t.Asset, t.TxHash, t.Reason)))
		}
		return sh.facts(v.Hint, pairs...)
	})
	if err == nil && (!v.Verified || v.Refuted()) {
		err = errSaid
	}
	return err
}

func (sh *shell) webhookSign() *cobra.Command {
	var secretFile, secretVar, body, id string
	var at moment
	var attempt int
	c := &cobra.Command{
		Use: "sign", Short: "Print the headers with which the gateway would send a body", Args: cobra.NoArgs,
		Long: `Print the headers with which the gateway would send a body, both signatures among them, to try a receiver by hand. Needs no
settings and no network.`,
		Example: `  ctripctl webhook sign --secret-file secret.txt --body event.json > headers.txt
  curl --data-binary @event.json -H @headers.txt https://shop.example/hooks`,
		RunE: sh.do(func(context.Context, []string) error {
			if err := onlyOneStdin(secretFile, body); err != nil {
				return err
			}
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
			raw, err := sh.read(body)
			if err != nil {
				return err
			}
			signed, err := admin.Sign(secret, id, at.orNow(), attempt, raw)
			if err != nil {
				return err
			}
			return sh.answer(signed, func() error {
				_, err := fmt.Fprintln(sh.out, strings.Join(signed.Lines(), "\n"))
				return err
			})
		}),
	}
	c.Flags().StringVar(&secretFile, "secret-file", "", "file with the secret, - for standard input")
	c.Flags().StringVar(&secretVar, "secret-env", "", "name of an environment variable with the secret")
	c.Flags().StringVar(&body, "body", "", "file with the body, - for standard input (required)")
	c.Flags().StringVar(&id, "id", "", `webhook-id (default the "id" of the body)`)
	c.Flags().Var(&at, "at", "webhook-timestamp, RFC 3339 or Unix seconds (default now)")
	c.Flags().IntVar(&attempt, "attempt", 1, "webhook-attempt")
	c.MarkFlagsOneRequired("secret-file", "secret-env")
	c.MarkFlagsMutuallyExclusive("secret-file", "secret-env")
	return require(c, "body")
}
