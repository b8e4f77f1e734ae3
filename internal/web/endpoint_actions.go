package web

import (
	"cmp"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const secretLabel = "Signing secret"

// endpoint reads the endpoint of a request, if the visitor may see it.
func (s *Site) endpoint(r *http.Request, v *visitor) (models.Endpoint, error) {
	e, err := s.opts.Store.Endpoint(r.Context(), v.Merchant.ID, r.PathValue("id"))
	if err == nil && !v.Key.Sees(e.Mode) {
		err = models.ErrNotFound
	}
	return e, err
}

// createEndpoint makes an endpoint, and shows its secret once.
func (s *Site) createEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	set, problems := endpointSettings(r.PostForm, models.Endpoint{})
	set.Mode = models.ModeTest
	if given := r.PostFormValue("mode"); !v.Key.Test {
		set.Mode = models.Mode(cmp.Or(given, string(models.ModeLive)))
		if set.Mode != models.ModeLive && set.Mode != models.ModeTest {
			problems = append(problems, models.FieldError{Field: "mode", Message: "must be live or test", Example: "live"})
		}
	}
	var brought *string
	if given := text(r.PostForm, "secret"); given != "" {
		brought = &given
	}
	var e models.Endpoint
	var secret webhook.Secret
	err := error(problems)
	if len(problems) == 0 {
		err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
			e, secret, err = s.opts.Endpoints.Create(r.Context(), tx, v.by(), v.Merchant.ID, set, brought)
			return err
		})
	}
	if err != nil {
		return s.formAgain(w, r, v, "New endpoint", endpointForm(models.Endpoint{}, nil, v), err)
	}
	return s.then(w, r, v, "/portal/endpoints/"+e.ID, flash{Text: "The endpoint was created. Copy its secret now: it is " +
		"shown this once.", Label: secretLabel, Secret: secret.Reveal()})
}

// formAgain shows a form with what was sent and what is wrong with it; secrets have to be given again.
func (s *Site) formAgain(w http.ResponseWriter, r *http.Request, v *visitor, title string, f form,
	err error) error {
	f.fill(r.PostForm)
	for i := range f.Fields {
		if x := &f.Fields[i]; x.Kind == "password" || x.Name == "client_key" {
			x.Value = ""
		}
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return s.formPage(w, r, v, http.StatusBadRequest, title, "endpoints", f)
}

// saveEndpoint changes the settings that differ from what was shown.
func (s *Site) saveEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	headers, err := s.opts.Endpoints.HeaderNames(e)
	if err != nil {
		return err
	}
	set, problems := endpointSettings(r.PostForm, e)
	mode := models.Mode(r.PostFormValue("mode"))
	err = error(problems)
	if len(problems) == 0 {
		err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
			return s.applySettings(r, tx, v, e, set, mode)
		})
	}
	if err != nil {
		return s.formAgain(w, r, v, "Edit endpoint", endpointForm(e, headers, v), err)
	}
	return s.then(w, r, v, "/portal/endpoints/"+e.ID, flash{Text: "Saved."})
}

// applySettings changes an endpoint whose form was filled in while it was at the version that the form names.
func (s *Site) applySettings(r *http.Request, tx *store.Tx, v *visitor, e models.Endpoint, set endpoints.Settings,
	mode models.Mode) error {
	ctx := r.Context()
	now, err := tx.LockEndpoint(ctx, v.Merchant.ID, e.ID)
	if err != nil {
		return err
	}
	if strconv.Itoa(now.Version) != r.PostFormValue("version") || now.Version != e.Version {
		return errChanged
	}
	if mode != "" && mode != e.Mode && !v.Key.Test {
		if mode == models.ModeBoth {
			return models.FieldErrors{{Field: "mode", Message: "must be live or test", Example: "live"}}
		}
		if _, err := s.opts.Endpoints.SetMode(ctx, tx, v.by(), v.Merchant.ID, e.ID, mode); err != nil {
			return err
		}
	}
	if reflect.DeepEqual(set, endpoints.Settings{}) {
		return nil
	}
	_, err = s.opts.Endpoints.Update(ctx, tx, v.by(), v.Merchant.ID, e.ID, set)
	return err
}

var errChanged = &problem{http.StatusConflict, "It has changed meanwhile", "The endpoint was changed since its form " +
	"was shown. Please go back, reload the form and decide anew."}

// onEndpoint runs an operation on an endpoint of the visitor's and goes back to its page. A state that forbids the
// operation is told on a page of its own.
func (s *Site) onEndpoint(done string,
	f func(*http.Request, *store.Tx, *visitor, models.Endpoint) error) portalHandler {
	return func(w http.ResponseWriter, r *http.Request, v *visitor) error {
		e, err := s.endpoint(r, v)
		if err == nil {
			err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error { return f(r, tx, v, e) })
		}
		if err != nil {
			return asProblem(err)
		}
		return s.then(w, r, v, "/portal/endpoints/"+e.ID, flash{Text: done})
	}
}

// asProblem tells fields that are wrong on a page of their own, where no form can be shown again.
func asProblem(err error) error {
	var fields models.FieldErrors
	if errors.As(err, &fields) {
		return &problem{http.StatusBadRequest, "Not understood", sentence(fields) + " Please go back and try again."}
	}
	return err
}

func (s *Site) enableEndpoint(r *http.Request, tx *store.Tx, v *visitor, e models.Endpoint) error {
	_, err := s.opts.Endpoints.Enable(r.Context(), tx, v.by(), v.Merchant.ID, e.ID)
	return err
}

func (s *Site) disableEndpoint(r *http.Request, tx *store.Tx, v *visitor, e models.Endpoint) error {
	reason := cmp.Or(text(r.PostForm, "reason"), "disabled by the merchant")
	if len(reason) > maxReason || !models.IsText(reason) {
		return models.FieldErrors{{Field: "reason", Message: "must be at most 255 bytes", Example: "moving to another host"}}
	}
	_, err := s.opts.Endpoints.Disable(r.Context(), tx, v.by(), v.Merchant.ID, e.ID, reason)
	return err
}

const maxReason = 255

// deleteEndpoint removes an endpoint for somebody who has said that they mean it.
func (s *Site) deleteEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	if r.PostFormValue("sure") == "" {
		return &problem{http.StatusBadRequest, "Not deleted", "Please go back and tick the box that says what is lost."}
	}
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		return s.opts.Endpoints.Delete(r.Context(), tx, v.by(), v.Merchant.ID, e.ID)
	})
	if err != nil {
		return err
	}
	return s.then(w, r, v, "/portal/endpoints", flash{Text: "The endpoint " + e.URL + " was deleted."})
}

// rotateSecret gives an endpoint another secret, and shows it once.
func (s *Site) rotateSecret(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	var problems models.FieldErrors
	var plan endpoints.Rotation
	if given := text(r.PostForm, "secret"); given != "" {
		plan.Secret = &given
	}
	if n := numberOf(r.PostForm, "overlap_seconds", &problems); n != nil {
		plan.Overlap = new(time.Duration(*n) * time.Second)
	}
	if n := numberOf(r.PostForm, "activate_in", &problems); n != nil {
		plan.ActivateIn = time.Duration(*n) * time.Second
	}
	if len(problems) > 0 {
		return asProblem(problems)
	}
	var secret webhook.Secret
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
		_, secret, err = s.opts.Endpoints.RotateSecret(r.Context(), tx, v.by(), v.Merchant.ID, e.ID, plan)
		return err
	})
	if err != nil {
		return asProblem(err)
	}
	return s.then(w, r, v, "/portal/endpoints/"+e.ID, flash{Text: "The secret was rotated. Copy the new one now: it is " +
		"shown this once.", Label: secretLabel, Secret: secret.Reveal()})
}

// testEndpoint sends a test event, and shows its delivery, where the answer appears.
func (s *Site) testEndpoint(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := s.endpoint(r, v)
	if err != nil {
		return err
	}
	ask := endpoints.Test{EventType: webhook.EventType(r.PostFormValue("event_type")),
		SignWith: r.PostFormValue("sign_with")}
	if ask.SignWith == endpoints.SignWithAll {
		ask.SignWith = ""
	}
	var d models.Delivery
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
		d, err = s.opts.Endpoints.SendTest(r.Context(), tx, v.by(), v.Merchant.ID, e.ID, ask)
		return err
	})
	if err != nil {
		return asProblem(err)
	}
	http.Redirect(w, r, "/portal/deliveries/"+d.ID+"?sent=1", http.StatusSeeOther)
	return nil
}
