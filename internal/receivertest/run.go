package receivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Options say what to fire at.
type Options struct {
	URL    string // of the receiver
	Secret webhook.Secret
	// EffectURL, unless empty, answers a GET with what the receiver made of its events so far, such as its orders. It is read
	// after every request: only then can effects be judged.
	EffectURL string
	Timeout   time.Duration // of one request; 0 means 10 s
	Now       func() time.Time
}

// Result is what became of one request.
type Result struct {
	Name   string `json:"name"`
	Want   string `json:"want"`
	Status int    `json:"status"`          // 0 when there was no answer
	Effect *bool  `json:"effect"`          // null without an EffectURL
	OK     bool   `json:"ok"`              // as it should be
	Why    string `json:"why,omitempty"`   // what it means when it is not
	Error  string `json:"error,omitempty"` // when there was no answer
}

// Report is what a receiver let through.
type Report struct {
	URL     string   `json:"url"`
	Results []Result `json:"results"`
	Failed  int      `json:"failed"`
}

// OK reports whether everything was as it should be.
func (r Report) OK() bool { return r.Failed == 0 }

// Run fires everything, one after the other. The error is about the options or the effect URL; what the receiver does is in
// the report.
func Run(ctx context.Context, o Options) (Report, error) {
	for _, raw := range []string{o.URL, o.EffectURL} {
		if u, err := url.Parse(raw); raw != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") || raw == "" && o.URL == "" {
			return Report{}, fmt.Errorf("receivertest: %q is not an http(s) URL", raw)
		}
	}
	if o.Secret.IsZero() || o.Now == nil {
		return Report{}, errors.New("receivertest: Secret and Now are needed")
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	shots, err := maker{secret: o.Secret, now: o.Now().Truncate(time.Second)}.shots()
	if err != nil {
		return Report{}, err
	}
	g := gun{o: o, client: &http.Client{Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	defer g.client.CloseIdleConnections()
	if g.effect, err = g.look(ctx); err != nil {
		return Report{}, err
	}
	report := Report{URL: o.URL}
	for _, s := range shots {
		r, err := g.fire(ctx, s)
		if err != nil {
			return report, err
		}
		if !r.OK {
			report.Failed++
		}
		report.Results = append(report.Results, r)
	}
	return report, nil
}

type gun struct {
	o      Options
	client *http.Client
	effect []byte // as it was seen last
}

func (g *gun) fire(ctx context.Context, s shot) (Result, error) {
	r := Result{Name: s.name, Want: s.want.String()}
	var err error
	if r.Status, err = g.post(ctx, s.request); err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.Error = err.Error()
	}
	if g.o.EffectURL != "" {
		now, err := g.look(ctx)
		if err != nil {
			return r, err
		}
		changed := !bytes.Equal(now, g.effect)
		r.Effect, g.effect = &changed, now
	}
	taken := r.Status >= 200 && r.Status < 300
	r.OK = r.Status != 0 && taken == (s.want != refuse) && (r.Effect == nil || *r.Effect == (s.want == accept))
	if !r.OK {
		r.Why = s.why
	}
	return r, nil
}

func (g *gun) post(ctx context.Context, r request) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.o.URL, bytes.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	req.Header = r.header
	res, err := g.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // the status is the answer
	return res.StatusCode, nil
}

// look reads what the receiver made of its events.
func (g *gun) look(ctx context.Context) ([]byte, error) {
	if g.o.EffectURL == "" {
		return nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.o.EffectURL, nil)
	if err != nil {
		return nil, err
	}
	res, err := g.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the effects: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the effects at %s: %s", g.o.EffectURL, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxAnswer))
}
