package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// replayView is a job with where it sends to.
type replayView struct {
	models.Replay
	URL string
}

// Done is how many of the deliveries that matched have been looked at; Most is how many there are.
func (r replayView) Done() int { return r.Replayed + r.Skipped }

// Most is at least what was done, since more may match by the time that the job comes to them.
func (r replayView) Most() int { return max(r.Matched, r.Done(), 1) }

// planView is what a replay would come to.
type planView struct {
	models.Replay
	Seconds int // at its rate
}

// replayForm asks for what is to be sent again.
func replayForm(e models.Endpoint) form {
	types := []choice{{"", "every event", true}}
	for _, t := range webhook.EventTypes() {
		types = append(types, choice{Value: string(t), Label: string(t)})
	}
	return form{Action: "/portal/endpoints/" + e.ID + "/replay", Fields: []field{
		{Name: "event_type", Label: "Event", Kind: "select", Choices: types},
		{Name: "state", Label: "What became of it", Kind: "select", Choices: []choice{{"", "anything", false},
			{"dead", "dead", true}, {"delivered", "delivered", false}, {"canceled", "canceled", false}}},
		{Name: "created_after", Label: "From (UTC)", Kind: "datetime-local"},
		{Name: "created_before", Label: "Before (UTC)", Kind: "datetime-local"},
		{Name: "rate", Label: "Deliveries a second", Kind: "number", Value: "50", Hint: "1 to 1000"},
	}}
}

// replayRequest reads what is to be sent again. A test key sends test events again.
func replayRequest(sent url.Values, v *visitor) (redelivery.ReplayRequest, models.FieldErrors) {
	var problems models.FieldErrors
	ask := redelivery.ReplayRequest{EventType: text(sent, "event_type"), State: text(sent, "state"), Test: v.Key.Test,
		CreatedAfter: timeOf(sent, "created_after", &problems), CreatedBefore: timeOf(sent, "created_before", &problems)}
	if n := numberOf(sent, "rate", &problems); n != nil {
		if ask.Rate = *n; *n == 0 {
			ask.Rate = -1 // 0 is no answer to the question of how many
		}
	}
	if ask.EventType != "" && !webhook.ValidPattern(ask.EventType) {
		problems = append(problems, models.FieldError{Field: "event_type", Message: "is no event type",
			Example: string(webhook.PaymentConfirmed)})
	}
	return ask, problems
}

// replay starts a job that sends again what matches, or tells what that would come to.
func (s *Site) replay(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	ask, problems := replayRequest(r.PostForm, v)
	dry := r.PostFormValue("dry_run") != ""
	var job models.Replay
	if err = error(problems); len(problems) == 0 {
		err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
			if dry {
				job, err = s.opts.Redelivery.PlanReplay(r.Context(), &tx.Queries, v.Merchant.ID, e.ID, ask)
			} else {
				job, err = s.opts.Redelivery.StartReplay(r.Context(), tx, v.by(), v.Merchant.ID, e.ID, ask)
			}
			return err
		})
	}
	var running *redelivery.ReplayRunningError
	if errors.As(err, &running) {
		return &problem{http.StatusConflict, "That cannot be done now", sentence(running)}
	}
	if err == nil && !dry {
		http.Redirect(w, r, "/portal/replays/"+job.ID, http.StatusSeeOther)
		return nil
	}
	view, pageErr := s.endpointPage(r, v, e)
	if pageErr != nil {
		return pageErr
	}
	view.Ask.fill(r.PostForm)
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if err := view.Ask.refuse(err); err != nil {
			return err
		}
	} else {
		view.Plan = &planView{job, (job.Matched + job.Rate - 1) / job.Rate}
	}
	return s.pages.write(w, status, "endpoint", s.frame(r.Context(), v, "Endpoint", "endpoints", view))
}

// afterPlan leads from the address of a plan, which a form was sent to, back to the endpoint: for who loads it anew.
func (s *Site) afterPlan(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err == nil {
		http.Redirect(w, r, "/portal/endpoints/"+e.ID, http.StatusSeeOther)
	}
	return err
}

// ownReplay reads the job of a request, if the visitor may see it: with a test key, one to a test endpoint.
func (s *Site) ownReplay(r *http.Request, v *visitor) (replayView, error) {
	job, err := s.opts.Store.Replay(r.Context(), v.Merchant.ID, r.PathValue("id"))
	if err != nil {
		return replayView{}, err
	}
	e, err := s.opts.Store.EndpointByID(r.Context(), job.EndpointID)
	if err == nil && v.Key.Test && (!job.Test || !v.Key.Sees(e.Mode)) {
		err = models.ErrNotFound
	}
	return replayView{job, e.URL}, err
}

// showReplay shows how far a job is.
func (s *Site) showReplay(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.ownReplay(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, v, "replay", "Replay", "endpoints", job)
}

// cancelReplay ends a job.
func (s *Site) cancelReplay(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.ownReplay(r, v)
	if err == nil {
		err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
			_, err := s.opts.Redelivery.CancelReplay(r.Context(), tx, v.by(), v.Merchant.ID, job.ID)
			return err
		})
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/portal/replays/"+job.ID, http.StatusSeeOther)
	return nil
}
