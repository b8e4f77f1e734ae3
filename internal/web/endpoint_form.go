package web

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// endpointForm shows the settings of an endpoint, or of a new one. headers are the names of its custom headers.
func endpointForm(e models.Endpoint, headers []string, v *visitor) form {
	isNew := e.ID == ""
	patterns := append([]string{webhook.PatternAll, webhook.PatternPayments}, names(webhook.EventTypes())...)
	chosen := e.Events
	f := form{Action: "/portal/endpoints", Submit: "Create the endpoint", Hidden: map[string]string{}}
	if isNew {
		chosen = []string{webhook.PatternAll}
	} else {
		f.Action, f.Submit = "/portal/endpoints/"+e.ID, "Save"
		f.Hidden["version"] = strconv.Itoa(e.Version)
	}
	f.Fields = []field{
		{Name: "url", Label: "URL", Kind: "url", Value: e.URL, Needed: true, Hint: "Where events are POSTed to."},
		{Name: "description", Label: "Description", Kind: "text", Value: e.Description},
		{Name: "events", Label: "Events", Kind: "checks", Choices: choices(chosen, patterns...),
			Hint: "* is every event, payment.* every event of a payment."},
	}
	if mode := modeField(e, v); mode != nil {
		f.Fields = append(f.Fields, *mode)
	}
	if isNew {
		f.Fields = append(f.Fields, field{Name: "secret", Label: "Your own secret", Kind: "password", More: true,
			Hint: "Left empty, a new one is made and shown once."})
	}
	f.Fields = append(f.Fields, moreFields(e, headers)...)
	if isNew {
		f.Fields = slices.DeleteFunc(f.Fields, func(x field) bool { return strings.HasPrefix(x.Name, "no_") })
	}
	return f
}

// moreFields are the settings that few endpoints need.
func moreFields(e models.Endpoint, headers []string) []field {
	custom := "One a line, as Name: value."
	if len(headers) > 0 {
		custom = "Set now: " + strings.Join(headers, ", ") + ". Their values are never shown; what stands here replaces " +
			"them all."
	}
	cert := "PEM. Left empty, it stays as it is."
	if e.ClientCertPEM != "" {
		cert = "One is set. " + cert
	}
	number := func(name, label, hint string, value *int, perUnit int) field {
		return field{Name: name, Label: label, Kind: "number", Hint: hint, Value: shownNumber(value, perUnit), More: true}
	}
	wait := number("batch_max_wait", "Batch: longest wait, seconds", "0.01 to 60", e.BatchMaxWaitMS, 1000)
	wait.Kind = "text"
	return []field{
		number("timeout", "Timeout, seconds", "1 to 30; empty is the deployment's", e.TimeoutMS, 1000),
		number("rate_limit", "Requests a second, at most", "1 to 10000", e.RateLimit, 1),
		number("max_in_flight", "Requests at once, at most", "1 to 1000", e.MaxInFlight, 1),
		number("max_attempts", "Attempts of a delivery", "1 to 100", e.MaxAttempts, 1),
		number("retry_base", "First retry after, seconds", "1 to 3600", e.RetryBaseMS, 1000),
		number("retry_max", "Longest pause between retries, seconds", "1 to 86400", e.RetryMaxMS, 1000),
		number("batch_max_events", "Events in one request, at most", "1 to 100", e.BatchMaxEvents, 1), wait,
		{Name: "ed25519", Label: "Sign with the gateway's own key too (Ed25519)", Kind: "check", Chosen: e.Ed25519,
			More: true},
		{Name: "headers", Label: "Custom headers", Kind: "area", Hint: custom, More: true},
		{Name: "no_headers", Label: "Remove all custom headers", Kind: "check", More: true},
		{Name: "ca_pem", Label: "Certificate authority of the receiver", Kind: "area", Value: e.CAPEM, Hint: "PEM",
			More: true},
		{Name: "spki_pins", Label: "Pinned public keys", Kind: "area", Value: strings.Join(e.SPKIPins, "\n"),
			Hint: "Base64 of SHA-256, one a line.", More: true},
		{Name: "client_cert", Label: "Client certificate", Kind: "area", Hint: cert, More: true},
		{Name: "client_key", Label: "Private key of the client certificate", Kind: "area", More: true,
			Hint: "PEM. It is never shown."},
		{Name: "no_client_cert", Label: "Remove the client certificate", Kind: "check", More: true},
	}
}

// modeField is the choice between live and test events, where the visitor has one: a test key makes test endpoints
// alone, and an endpoint's mode can only be narrowed.
func modeField(e models.Endpoint, v *visitor) *field {
	var choices []choice
	switch {
	case v.Key.Test:
		return nil
	case e.ID == "":
		choices = []choice{{"live", "live events", true}, {"test", "test events", false}}
	case e.Mode == models.ModeBoth:
		choices = []choice{{"both", "live and test events", true}, {"live", "live events alone", false},
			{"test", "test events alone", false}}
	default:
		return nil
	}
	return &field{Name: "mode", Label: "Mode", Kind: "select", Choices: choices,
		Hint: "It can be narrowed later, never changed to the other."}
}

func shownNumber(v *int, perUnit int) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*v)/float64(perUnit), 'f', -1, 64)
}

// endpointSettings reads what a form changes about an endpoint. What stands there as it was shown is not named, as a
// request to the API would not name it.
func endpointSettings(sent url.Values, e models.Endpoint) (set endpoints.Settings, problems models.FieldErrors) {
	differs := func(name, was string) bool { return text(sent, name) != strings.TrimSpace(was) }
	if differs("url", e.URL) || e.ID == "" {
		set.URL = new(text(sent, "url"))
	}
	if differs("description", e.Description) {
		set.Description = new(text(sent, "description"))
	}
	given := slices.Sorted(slices.Values(sent["events"]))
	if e.ID == "" || !slices.Equal(given, slices.Sorted(slices.Values(e.Events))) {
		set.Events = append([]string{}, given...)
	}
	for _, n := range []struct {
		name    string
		was     *int
		into    ***int
		perUnit int
	}{
		{"timeout", e.TimeoutMS, &set.TimeoutMS, 1000}, {"rate_limit", e.RateLimit, &set.RateLimit, 1},
		{"max_in_flight", e.MaxInFlight, &set.MaxInFlight, 1}, {"max_attempts", e.MaxAttempts, &set.MaxAttempts, 1},
		{"retry_base", e.RetryBaseMS, &set.RetryBaseMS, 1000}, {"retry_max", e.RetryMaxMS, &set.RetryMaxMS, 1000},
		{"batch_max_events", e.BatchMaxEvents, &set.BatchMaxEvents, 1},
	} {
		if !differs(n.name, shownNumber(n.was, n.perUnit)) {
			continue
		}
		value := numberOf(sent, n.name, &problems)
		if value != nil {
			*value *= n.perUnit
		}
		*n.into = &value
	}
	if differs("batch_max_wait", shownNumber(e.BatchMaxWaitMS, 1000)) {
		set.BatchMaxWaitMS = batchWait(text(sent, "batch_max_wait"), &problems)
	}
	if on := sent.Has("ed25519"); on != e.Ed25519 {
		set.Ed25519 = &on
	}
	transportSettings(sent, e, &set, differs, &problems)
	return set, problems
}

func batchWait(raw string, problems *models.FieldErrors) **int {
	var value *int
	if raw != "" {
		seconds, err := strconv.ParseFloat(raw, 64)
		if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > maxNumber {
			*problems = append(*problems, models.FieldError{Field: "batch_max_wait", Message: "must be 0.01 to 60 seconds",
				Example: "0.5"})
			return nil
		}
		value = new(int(math.Round(seconds * 1000)))
	}
	return &value
}

// transportSettings reads headers and TLS. What is never shown stays as it is when nothing stands in its place.
func transportSettings(sent url.Values, e models.Endpoint, set *endpoints.Settings, differs func(name, was string) bool,
	problems *models.FieldErrors) {
	if sent.Has("no_headers") {
		set.Headers = map[string]string{}
	} else if raw := text(sent, "headers"); raw != "" {
		set.Headers = make(map[string]string)
		for line := range strings.SplitSeq(raw, "\n") {
			name, value, ok := strings.Cut(line, ":")
			if strings.TrimSpace(line) == "" {
				continue
			}
			if _, twice := set.Headers[strings.TrimSpace(name)]; !ok || twice {
				*problems = append(*problems, models.FieldError{Field: "headers", Example: "X-Tenant: shop",
					Message: "must be lines of a name, a colon and a value, each name once"})
				break
			}
			set.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	if differs("ca_pem", e.CAPEM) {
		set.CAPEM = new(pem(sent, "ca_pem"))
	}
	if differs("spki_pins", strings.Join(e.SPKIPins, "\n")) {
		pins := append([]string{}, strings.Fields(text(sent, "spki_pins"))...)
		set.SPKIPins = &pins
	}
	cert, key := pem(sent, "client_cert"), pem(sent, "client_key")
	if sent.Has("no_client_cert") {
		set.ClientCert = &endpoints.ClientCert{}
	} else if cmp.Or(cert, key) != "" {
		set.ClientCert = &endpoints.ClientCert{CertPEM: cert, KeyPEM: key}
	}
}

// pem is a text in PEM, which ends in a line end.
func pem(sent url.Values, name string) string {
	if raw := text(sent, name); raw != "" {
		return raw + "\n"
	}
	return ""
}

// newEndpoint shows the form for a new endpoint.
func (s *Site) newEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return s.formPage(w, r, v, http.StatusOK, "New endpoint", "endpoints", endpointForm(models.Endpoint{}, nil, v))
}

// editEndpoint shows the form for the settings of an endpoint.
func (s *Site) editEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	headers, err := s.opts.Endpoints.HeaderNames(e)
	if err != nil {
		return err
	}
	return s.formPage(w, r, v, http.StatusOK, "Edit endpoint", "endpoints", endpointForm(e, headers, v))
}

// formPage shows a form of its own page.
func (s *Site) formPage(w http.ResponseWriter, r *http.Request, v *visitor, status int, title, nav string,
	f form) error {
	return s.pages.write(w, status, "form", s.frame(r.Context(), v, title, nav, f))
}
