package contract

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
)

// Transport holds every answer that comes through it against the contract, and tells report what is wrong with one.
func (c *Contract) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return transport{c, next, report}
}

type transport struct {
	contract *Contract
	next     http.RoundTripper
	report   func(error)
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.contract.Check(Answer{r.Method, r.URL.RequestURI(), res.StatusCode, res.Header, body}); err != nil {
		t.report(err)
	}
	return res, nil
}

// Handler holds every answer of next against the contract, and tells report what is wrong with one.
func (c *Contract) Handler(next http.Handler, report func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, recorded := r.URL.RequestURI(), httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		body := recorded.Body.Bytes()
		if err := c.Check(Answer{r.Method, target, recorded.Code, recorded.Header(), body}); err != nil {
			report(err)
		}
		if len(body) > 0 {
			if _, err := w.Write(body); err != nil {
				report(err)
			}
		}
	})
}
