package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// statsFor is how far back the attempts on an endpoint are counted.
const statsFor = 24 * time.Hour

// secretRow is a live secret of an endpoint, as what it signs now.
type secretRow struct {
	Role      string
	CreatedAt time.Time
	From      *time.Time // of the next one: when it becomes current
	Until     *time.Time // of an older one: when it signs no more
	Left      string     // before From or Until
}

type endpointPage struct {
	endpointView
	Headers []string
	Secrets []secretRow
	Stats   store.EndpointStats
	Rate    string // of the attempts that succeeded; "" where there were none
	Types   []string
	Replay  *replayView // that runs
	Ask     form        // for a replay
	Plan    *planView   // what a replay would come to
}

// showEndpoint shows one endpoint, how it does, and what can be done with it.
func (s *Site) showEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	view, err := s.endpointPage(r, v, e)
	if err != nil {
		return err
	}
	return s.show(w, r, v, "endpoint", "Endpoint", "endpoints", view)
}

func (s *Site) endpointPage(r *http.Request, v *visitor, e models.Endpoint) (endpointPage, error) {
	ctx := r.Context()
	view := endpointPage{endpointView: s.viewEndpoint(e), Types: names(webhook.EventTypes()), Ask: replayForm(e)}
	var err error
	if view.Headers, err = s.opts.Endpoints.HeaderNames(e); err != nil {
		return view, err
	}
	secrets, err := s.opts.Store.Secrets(ctx, e.ID, s.now())
	if err != nil {
		return view, err
	}
	view.Secrets = secretRows(secrets, s.now())
	if view.Stats, err = s.opts.Store.EndpointStats(ctx, e, s.now().Add(-statsFor)); err != nil {
		return view, err
	}
	if view.Stats.Attempts > 0 {
		view.Rate = percent(view.Stats.Succeeded, view.Stats.Attempts)
	}
	job, err := s.opts.Store.RunningReplay(ctx, e.ID)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return view, nil
	case err != nil:
		return view, err
	}
	if !v.Key.Test || job.Test {
		view.Replay = &replayView{Replay: job, URL: e.URL}
	}
	return view, nil
}

func secretRows(secrets []models.EndpointSecret, now time.Time) []secretRow {
	live := endpoints.LiveSecrets(secrets, now)
	var rows []secretRow
	left := func(until *time.Time) string {
		if until == nil {
			return ""
		}
		return inWords(until.Sub(now))
	}
	if k := live.Next; k != nil {
		rows = append(rows, secretRow{Role: endpoints.SignWithNext, CreatedAt: k.CreatedAt, From: &k.ActiveFrom,
			Left: left(&k.ActiveFrom)})
	}
	if k := live.Current; k != nil {
		rows = append(rows, secretRow{Role: endpoints.SignWithCurrent, CreatedAt: k.CreatedAt, Until: k.ExpiresAt,
			Left: left(k.ExpiresAt)})
	}
	for _, k := range live.Previous {
		rows = append(rows, secretRow{Role: endpoints.SignWithPrevious, CreatedAt: k.CreatedAt, Until: k.ExpiresAt,
			Left: left(k.ExpiresAt)})
	}
	return rows
}

// viewEndpoint is an endpoint with the moment before which nothing is sent to it.
func (s *Site) viewEndpoint(e models.Endpoint) endpointView {
	row := endpointView{Endpoint: e, Breaker: e.BreakerState}
	for _, until := range []*time.Time{e.BreakerOpenUntil, e.NotBefore} {
		if until != nil && until.After(s.now()) && (row.Waits == nil || until.After(*row.Waits)) {
			row.Waits = until
		}
	}
	return row
}

// inWords is how long something still takes, to the minute, or to the second in its last hour.
func inWords(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// percent is a share of a whole for people; what is not all of it is never shown as 100 %.
func percent(part, whole int) string {
	share := math.Floor(float64(part)*1000/float64(max(whole, 1))) / 10
	return strconv.FormatFloat(share, 'f', -1, 64) + " %"
}
