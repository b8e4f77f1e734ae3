package receivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Options say what to fire at.
type Options struct {
	URL    string // of the receiver
	Secret webhook.Secret
	// EffectURL, unless empty, answers a GET with what the receiver made of its events so far, such as its orders. It is
	// read after every request: only then can effects be judged.
	EffectURL string
	Batches   bool          // fire batches too, for an endpoint that asked for them
	Timeout   time.Duration // of one request; 0 means 10 s
	Now       func() time.Time
}

// Result is what became of one request.
type Result struct {
	Name string `json:"name"`
	Want string `json:"want"`
	// 0 when there was no answer; of several, that of an accepted one if there is any
	Status int    `json:"status"`
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

// Run fires everything, one after the other. The error is about the options or the effect URL; what the receiver does
// is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	for _, raw := range []string{o.URL, o.EffectURL} {
		if u, err := url.Parse(raw); raw != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") ||
			raw == "" && o.URL == "" {
			return Report{}, fmt.Errorf("receivertest: %q is not an http(s) URL", raw)
		}
	}
	if o.Secret.IsZero() || o.Now == nil {
		return Report{}, errors.New("receivertest: Secret and Now are needed")
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	shots, err := maker{secret: o.Secret, now: o.Now().Truncate(time.Second), batches: o.Batches}.shots()
	if err != nil {
		return Report{}, err
	}
	g := gun{o: o, client: &http.Client{Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
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
	once   int    // how often an order stands in the effects after its event came once; 0 while that is not known
}

func (g *gun) fire(ctx context.Context, s shot) (Result, error) {
	r := Result{Name: s.name, Want: s.want.String()}
	var err error
	if r.Status, err = g.postAll(ctx, s); err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.Error = err.Error()
	}
	counted := true
	if g.o.EffectURL != "" {
		now, err := g.look(ctx)
		if err != nil {
			return r, err
		}
		counted = g.counted(s, now)
		changed := !bytes.Equal(now, g.effect)
		r.Effect, g.effect = &changed, now
	}
	r.OK = err == nil && taken(r.Status) == (s.want != refuse) && (r.Effect == nil || *r.Effect == (s.want == accept)) &&
		counted
	if !r.OK {
		r.Why = s.why
	}
	return r, nil
}

// counted reports whether the orders of a shot stand in the effects as often as the first one did after its event, and
// one that was there before as often as before.
func (g *gun) counted(s shot, effect []byte) bool {
	if s.settled != "" && bytes.Count(effect, []byte(s.settled)) != bytes.Count(g.effect, []byte(s.settled)) {
		return false
	}
	for _, mark := range s.marks {
		n := bytes.Count(effect, []byte(mark))
		if g.once == 0 {
			g.once = n
		}
		if n > g.once {
			return false
		}
	}
	return true
}

func taken(status int) bool { return status >= 200 && status < 300 }

// postAll fires all copies of a shot. The error is that of any without an answer.
func (g *gun) postAll(ctx context.Context, s shot) (int, error) {
	if s.copies <= 1 {
		return g.post(ctx, s.request)
	}
	statuses, errs := make([]int, s.copies), make([]error, s.copies)
	var wg sync.WaitGroup
	for i := range s.copies {
		wg.Go(func() { statuses[i], errs[i] = g.post(ctx, s.clone()) })
	}
	wg.Wait()
	status := statuses[0]
	if i := slices.IndexFunc(statuses, taken); i >= 0 {
		status = statuses[i]
	}
	return status, errors.Join(errs...)
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
