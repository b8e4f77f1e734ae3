package api

import "net/http"

// kept is an answer whose bytes are fixed already: a stored event, a payment with its own encoding, or what an earlier
// request with the same Idempotency-Key was answered.
type kept struct {
	status int
	header http.Header // beside Content-Type
	body   []byte
}

func (k kept) write(w http.ResponseWriter) error {
	for name, values := range k.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(k.status)
	_, err := w.Write(k.body)
	return err
}

// The operations that may answer so: those with stored bytes, and every POST.

func (k kept) VisitGetPaymentResponse(w http.ResponseWriter) error            { return k.write(w) }
func (k kept) VisitGetEventResponse(w http.ResponseWriter) error              { return k.write(w) }
func (k kept) VisitListEventsResponse(w http.ResponseWriter) error            { return k.write(w) }
func (k kept) VisitCreatePaymentResponse(w http.ResponseWriter) error         { return k.write(w) }
func (k kept) VisitCancelPaymentResponse(w http.ResponseWriter) error         { return k.write(w) }
func (k kept) VisitCreateWebhookEndpointResponse(w http.ResponseWriter) error { return k.write(w) }
func (k kept) VisitRotateWebhookSecretResponse(w http.ResponseWriter) error   { return k.write(w) }
func (k kept) VisitEnableWebhookEndpointResponse(w http.ResponseWriter) error { return k.write(w) }
func (k kept) VisitDisableWebhookEndpointResponse(w http.ResponseWriter) error {
	return k.write(w)
}
func (k kept) VisitTestWebhookEndpointResponse(w http.ResponseWriter) error   { return k.write(w) }
func (k kept) VisitReplayWebhookEndpointResponse(w http.ResponseWriter) error { return k.write(w) }
func (k kept) VisitCancelReplayResponse(w http.ResponseWriter) error          { return k.write(w) }
func (k kept) VisitRedeliverResponse(w http.ResponseWriter) error             { return k.write(w) }
func (k kept) VisitCreateAPIKeyResponse(w http.ResponseWriter) error          { return k.write(w) }
func (k kept) VisitPauseAllResponse(w http.ResponseWriter) error              { return k.write(w) }
func (k kept) VisitResumeAllResponse(w http.ResponseWriter) error             { return k.write(w) }
func (k kept) VisitPauseMerchantResponse(w http.ResponseWriter) error         { return k.write(w) }
func (k kept) VisitResumeMerchantResponse(w http.ResponseWriter) error        { return k.write(w) }
func (k kept) VisitPauseEndpointResponse(w http.ResponseWriter) error         { return k.write(w) }
func (k kept) VisitResumeEndpointResponse(w http.ResponseWriter) error        { return k.write(w) }
