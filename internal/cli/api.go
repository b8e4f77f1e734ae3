package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const apiSettings = `CTRIP_API_URL says where the gateway is (default http://127.0.0.1:8080), and CTRIP_API_KEY or CTRIP_API_KEY_FILE
holds an API key. No other setting is read, and no database is needed.`

func (sh *shell) api() *cobra.Command {
	g := sh.group("api", "Do what a merchant does, over the REST API",
		sh.apiPayment(), sh.apiEvent(), sh.apiDelivery(), sh.apiEndpoint(), sh.apiReplay(), sh.apiAsset(), sh.apiKey(),
		sh.apiMerchant(), sh.apiPortalLink())
	g.Long = "Do what a merchant does, over the REST API.\n\n" + apiSettings + `

With --json the API's own answer is printed as it came, and a problem as its document on standard error.`
	sh.reaches(g)
	return g
}

// reaches gives a command, and those below it, the flag that says which gateway is called.
func (sh *shell) reaches(c *cobra.Command) {
	c.PersistentFlags().StringVar(&sh.apiURL, "api-url", "", "where the gateway is (default $CTRIP_API_URL)")
}

// caller is a client with the merchant's settings.
func (sh *shell) caller() (*client.Client, error) {
	settings, err := config.LoadCaller(config.Options{DotEnv: ".env"}, sh.apiURL)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{URL: settings.URL, Key: settings.Key.Reveal(), UserAgent: "ctripctl/1"})
}

// unreachable adds to an error of the network which setting says where the gateway is.
func (sh *shell) unreachable(err error) error {
	var failed *net.OpError
	if !errors.As(err, &failed) || failed.Op != "dial" {
		return err
	}
	return fmt.Errorf("%w\nno gateway answers there: CTRIP_API_URL or --api-url says where it is", err)
}

// apiClient is the API as one command calls it, with the options that the command's flags add to each request.
type apiClient struct {
	*client.Client
	sh      *shell
	answer  client.Answer
	options []client.Option
}

// atAPI is do for commands that call the API.
func (sh *shell) atAPI(f func(ctx context.Context, api *apiClient,
	args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		return sh.do(func(ctx context.Context, args []string) error {
			caller, err := sh.caller()
			if err != nil {
				return err
			}
			api := &apiClient{Client: caller, sh: sh}
			api.options = append(api.options, client.Into(&api.answer))
			for name, option := range map[string]func(string) client.Option{"idempotency-key": client.IdempotencyKey,
				"if-match": client.IfMatch} {
				if flag := c.Flags().Lookup(name); flag != nil && flag.Changed {
					api.options = append(api.options, option(flag.Value.String()))
				}
			}
			return sh.unreachable(f(ctx, api, args))
		})(c, args)
	}
}

// print prints the last answer as it came when JSON was asked for, and as people like it otherwise.
func (api *apiClient) print(err error, forPeople func() error) error {
	if err != nil {
		return err
	}
	if !api.sh.json {
		return forPeople()
	}
	body := api.answer.Body
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body[:len(body):len(body)], '\n')
	}
	_, err = api.sh.out.Write(body)
	return err
}

// page prints a page of a list, and how to get the next one.
func (api *apiClient) page(err error, headings, none string, next *string, rows func() [][]string) error {
	return api.print(err, func() error {
		if err := api.sh.table(headings, none, rows()); err != nil || next == nil {
			return err
		}
		_, err := fmt.Fprintf(api.sh.out, "\nThere is more: --cursor %s\n", *next)
		return err
	})
}

// export writes CSV to a file, or to standard output. With JSON it is every page of the list joined into one.
func (api *apiClient) export(file string, csv func() (io.ReadCloser, error),
	walk func(yield func(any) error) error) (err error) {
	out := api.sh.out
	if file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	if api.sh.json {
		separator := `{"data":[`
		err := walk(func(item any) error {
			var line bytes.Buffer
			line.WriteString(separator)
			separator = ","
			enc := json.NewEncoder(&line)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(item); err != nil {
				return err
			}
			_, err := out.Write(line.Bytes())
			return err
		})
		if err == nil {
			_, err = io.WriteString(out, strings.TrimPrefix(separator, ",")+"],\"next_cursor\":null}\n")
		}
		return err
	}
	body, err := csv()
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(out, body)
	return err
}

// printProblem prints what the API refused: what is wrong with every faulty field, a good value, and the request id.
func (sh *shell) printProblem(p *client.Problem) {
	kind := p.Code
	if kind == "" {
		kind = "no answer of the gateway"
	}
	if sh.json {
		enc := json.NewEncoder(sh.err)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(p)
		return
	}
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	fmt.Fprintf(sh.err, "ctripctl: %d %s: %s\n", p.Status, kind, text)
	w := tabwriter.NewWriter(sh.err, 0, 0, 2, ' ', 0)
	for _, e := range p.Errors {
		good := ""
		if e.Example != "" {
			good = "such as " + e.Example
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", e.Field, e.Message, good)
	}
	_ = w.Flush()
	if p.RetryAfter > 0 {
		fmt.Fprintf(sh.err, "try again in %s\n", p.RetryAfter)
	}
	if p.RequestID != "" {
		fmt.Fprintf(sh.err, "request id: %s\n", p.RequestID)
	}
}

// once gives a command that makes a POST the flag that names it.
func once(c *cobra.Command) *cobra.Command {
	c.Flags().String("idempotency-key", "", "name of this request: with the same one it is done once in 24 hours, "+
		"however often you call")
	return c
}

// ifMatch gives a command that changes something the flag that keeps it from overwriting.
func ifMatch(c *cobra.Command) *cobra.Command {
	c.Flags().String("if-match", "", `change it only if this is its version still, an ETag such as '"3"'`)
	return c
}

// paging are the flags of every list.
type paging struct {
	limit  int
	cursor string
}

func (p *paging) add(c *cobra.Command) {
	c.Flags().IntVar(&p.limit, "limit", 20, "how many to show at most, up to 100")
	c.Flags().StringVar(&p.cursor, "cursor", "", "where the page before ended")
}

// given is what a flag says, nil when it says nothing.
func given[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// span are the flags for when something was made.
type span struct{ after, before moment }

func (s *span) add(c *cobra.Command) {
	c.Flags().Var(&s.after, "created-after", "only what was made at this time or later, RFC 3339 or Unix seconds")
	c.Flags().Var(&s.before, "created-before", "only what was made before this time, RFC 3339 or Unix seconds")
}

// orNil is the time, nil when there is none.
func (m *moment) orNil() *time.Time {
	if m.IsZero() {
		return nil
	}
	return &m.Time
}

// stamped is a time of the API.
func stamped(t *webhook.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// seconds is a duration as the API counts it, nil when it was not given.
func (d duration) seconds() *int {
	if d == 0 {
		return nil
	}
	return new(int(time.Duration(d) / time.Second))
}

func number(n *int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}
