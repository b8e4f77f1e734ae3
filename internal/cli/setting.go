package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
)

// setting is a flag for a setting of an endpoint that can be put back to the deployment's default.
type setting[T any] struct {
	text   string
	kind   string
	parse  func(string) (T, error)
	value  *T                 // nil for the default
	change client.Optional[T] // of an update
}

func (s *setting[T]) String() string { return s.text }
func (s *setting[T]) Type() string   { return s.kind }

func (s *setting[T]) Set(text string) error {
	if s.text = text; text == "default" {
		s.value, s.change = nil, client.Default[T]()
		return nil
	}
	v, err := s.parse(text)
	if err != nil {
		return err
	}
	s.value, s.change = &v, client.Set(v)
	return nil
}

func wholeNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errors.New("is not a whole number, nor default")
	}
	return n, nil
}

// inSeconds reads a duration as the API counts it.
func inSeconds(s string) (float64, error) {
	d, err := config.ParseDuration(s)
	if err != nil {
		return 0, errors.New("is not a duration such as 10s, nor default")
	}
	return d.Seconds(), nil
}

func inWholeSeconds(s string) (int, error) {
	f, err := inSeconds(s)
	if err == nil && f != float64(int(f)) {
		err = errors.New("must be whole seconds")
	}
	return int(f), err
}

// endpointSettings are the flags that creating and changing an endpoint share.
type endpointSettings struct {
	url, description, headersFile, caFile, certFile, keyFile string
	events, pins                                             []string
	mode, filter                                             string
	ed25519, noCert                                          bool
	timeout, retryBase, retryMax                             setting[int]
	maxInFlight, maxAttempts, rateLimit, batchEvents         setting[int]
	batchWait                                                setting[float64]
}

func (e *endpointSettings) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&e.url, "url", "", "where events are sent")
	f.StringSliceVar(&e.events, "events", nil, "event types, payment.* or *, comma-separated (default all, for a new one)")
	f.StringVar(&e.filter, "filter", "",
		`which payments it is told of, as JSON such as '{"chains":["ethereum"],"metadata":{"shop":["berlin"]}}', or none`)
	f.StringVar(&e.description, "description", "", "what the endpoint is for")
	f.StringVar(&e.mode, "mode", "", "which events it gets: live or test (default that of the key, for a new one)")
	f.StringVar(&e.headersFile, "headers-file", "",
		"file with headers to send with every request, Name: value in each line; they replace all others")
	f.StringVar(&e.caFile, "ca-file", "", "PEM file with the authorities to trust instead of the system's")
	f.StringSliceVar(&e.pins, "pins", nil, "base64 SHA-256 of the public keys to accept, comma-separated")
	f.StringVar(&e.certFile, "client-cert-file", "", "PEM file with the certificate to present")
	f.StringVar(&e.keyFile, "client-key-file", "", "PEM file with its private key")
	f.BoolVar(&e.ed25519, "ed25519", false, "sign with the gateway's own Ed25519 key too")
	for _, s := range []struct {
		to          *setting[int]
		name, usage string
		parse       func(string) (int, error)
		kind        string
	}{
		{&e.timeout, "timeout", "until a request has failed, 1s to 30s", inWholeSeconds, "duration"},
		{&e.maxAttempts, "max-attempts", "attempts before a delivery is dead", wholeNumber, "int"},
		{&e.retryBase, "retry-base", "wait before the first retry", inWholeSeconds, "duration"},
		{&e.retryMax, "retry-max", "longest wait between retries", inWholeSeconds, "duration"},
		{&e.maxInFlight, "max-in-flight", "requests at one time", wholeNumber, "int"},
		{&e.rateLimit, "rate-limit", "requests a second", wholeNumber, "int"},
		{&e.batchEvents, "batch-max-events", "send several events together, this many at most", wholeNumber, "int"},
	} {
		s.to.parse, s.to.kind = s.parse, s.kind
		f.Var(s.to, s.name, s.usage+`, or "default"`)
	}
	e.batchWait.parse, e.batchWait.kind = inSeconds, "duration"
	f.Var(&e.batchWait, "batch-max-wait", `how long an event waits for others, or "default"`)
	c.MarkFlagsRequiredTogether("client-cert-file", "client-key-file")
	suggest(c, "events", eventPatterns())
	suggest(c, "mode", []models.Mode{models.ModeLive, models.ModeTest})
}

// files reads what is given by file: custom headers, authorities and the client certificate, each nil when it is not
// given.
func (e *endpointSettings) files(sh *shell) (headers *map[string]string, authorities *string,
	certificate *client.ClientCertificate, err error) {
	if e.headersFile != "" {
		lines, err := sh.read(e.headersFile)
		if err != nil {
			return nil, nil, nil, err
		}
		parsed, err := admin.ParseHeaders(lines)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", e.headersFile, err)
		}
		headers = new(make(map[string]string))
		for name := range parsed {
			(*headers)[name] = parsed.Get(name)
		}
	}
	if e.caFile != "" {
		pem, err := os.ReadFile(e.caFile)
		if err != nil {
			return nil, nil, nil, err
		}
		authorities = new(string(pem))
	}
	if e.certFile != "" {
		cert, err := os.ReadFile(e.certFile)
		if err != nil {
			return nil, nil, nil, err
		}
		key, err := os.ReadFile(e.keyFile)
		if err != nil {
			return nil, nil, nil, err
		}
		certificate = &client.ClientCertificate{CertPEM: string(cert), KeyPEM: string(key)}
	}
	return headers, authorities, certificate, nil
}

// eventFilter is what --filter says; nil where it says none, or nothing.
func (e *endpointSettings) eventFilter() (*client.EventFilter, error) {
	if e.filter == "" || e.filter == "none" {
		return nil, nil
	}
	var f client.EventFilter
	d := json.NewDecoder(strings.NewReader(e.filter))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, misused("--filter: %v", err)
	}
	return &f, nil
}

// creation is what the flags say of a new endpoint.
func (e *endpointSettings) creation(sh *shell, c *cobra.Command) (client.WebhookEndpointCreate, error) {
	in := client.WebhookEndpointCreate{
		URL: e.url, Description: given(e.description), Timeout: e.timeout.value, MaxAttempts: e.maxAttempts.value,
		RetryBase: e.retryBase.value, RetryMax: e.retryMax.value, MaxInFlight: e.maxInFlight.value,
		RateLimit: e.rateLimit.value, BatchMaxEvents: e.batchEvents.value, BatchMaxWait: e.batchWait.value,
		Ed25519: given(e.ed25519), Mode: given(client.Mode(e.mode)),
	}
	if c.Flags().Changed("events") {
		in.Events = &e.events
	}
	if c.Flags().Changed("pins") {
		in.SPKIPins = &e.pins
	}
	var err error
	if in.Filter, err = e.eventFilter(); err != nil {
		return in, err
	}
	in.Headers, in.CAPEM, in.ClientCert, err = e.files(sh)
	return in, err
}

// change is what the flags say of an endpoint that is there; what they do not name stays as it is.
func (e *endpointSettings) change(sh *shell, c *cobra.Command) (client.WebhookEndpointUpdate, error) {
	in := client.WebhookEndpointUpdate{
		URL: given(e.url), Timeout: e.timeout.change, MaxAttempts: e.maxAttempts.change, RetryBase: e.retryBase.change,
		RetryMax: e.retryMax.change, MaxInFlight: e.maxInFlight.change, RateLimit: e.rateLimit.change,
		BatchMaxEvents: e.batchEvents.change, BatchMaxWait: e.batchWait.change, Mode: given(client.Mode(e.mode)),
	}
	changed := c.Flags().Changed
	if changed("description") {
		in.Description = &e.description
	}
	if changed("events") {
		in.Events = &e.events
	}
	if changed("pins") {
		in.SPKIPins = &e.pins
	}
	if changed("ed25519") {
		in.Ed25519 = &e.ed25519
	}
	if changed("filter") {
		f, err := e.eventFilter()
		if err != nil {
			return in, err
		}
		if in.Filter = client.Default[client.EventFilter](); f != nil {
			in.Filter = client.Set(*f)
		}
	}
	headers, authorities, certificate, err := e.files(sh)
	in.Headers = headers
	if authorities != nil {
		in.CAPEM = client.Set(*authorities)
	}
	if certificate != nil {
		in.ClientCert = client.Set(*certificate)
	}
	if e.noCert {
		in.ClientCert = client.Default[client.ClientCertificate]()
	}
	return in, err
}
