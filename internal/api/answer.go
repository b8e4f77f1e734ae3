package api

import "net/http"

// savedAnswer is an answer whose bytes are fixed already: a stored event, a payment with its own encoding, or what an
// earlier request with the same Idempotency-Key was answered.
type savedAnswer struct {
	status int
	header http.Header // beside Content-Type
	body   []byte
}

func (a savedAnswer) write(w http.ResponseWriter) error {
	for name, values := range a.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	return err
}

// The operations that may answer so: those with stored bytes, and every POST.

func (a savedAnswer) VisitGetPaymentResponse(w http.ResponseWriter) error    { return a.write(w) }
func (a savedAnswer) VisitUpdatePaymentResponse(w http.ResponseWriter) error { return a.write(w) }
func (a savedAnswer) VisitCreatePortalLinkResponse(w http.ResponseWriter) error {
	return a.write(w)
}
func (a savedAnswer) VisitGetPaymentProofResponse(w http.ResponseWriter) error { return a.write(w) }
func (a savedAnswer) VisitGetEventResponse(w http.ResponseWriter) error        { return a.write(w) }
func (a savedAnswer) VisitListEventsResponse(w http.ResponseWriter) error      { return a.write(w) }
func (a savedAnswer) VisitCreatePaymentResponse(w http.ResponseWriter) error   { return a.write(w) }
func (a savedAnswer) VisitCancelPaymentResponse(w http.ResponseWriter) error   { return a.write(w) }
func (a savedAnswer) VisitCreateWebhookEndpointResponse(w http.ResponseWriter) error {
	return a.write(w)
}
func (a savedAnswer) VisitRotateWebhookSecretResponse(w http.ResponseWriter) error { return a.write(w) }
func (a savedAnswer) VisitEnableWebhookEndpointResponse(w http.ResponseWriter) error {
	return a.write(w)
}
func (a savedAnswer) VisitDisableWebhookEndpointResponse(w http.ResponseWriter) error {
	return a.write(w)
}
func (a savedAnswer) VisitTestWebhookEndpointResponse(w http.ResponseWriter) error { return a.write(w) }
func (a savedAnswer) VisitReplayWebhookEndpointResponse(w http.ResponseWriter) error {
	return a.write(w)
}
func (a savedAnswer) VisitCancelReplayResponse(w http.ResponseWriter) error    { return a.write(w) }
func (a savedAnswer) VisitRedeliverResponse(w http.ResponseWriter) error       { return a.write(w) }
func (a savedAnswer) VisitCreateAPIKeyResponse(w http.ResponseWriter) error    { return a.write(w) }
func (a savedAnswer) VisitPauseAllResponse(w http.ResponseWriter) error        { return a.write(w) }
func (a savedAnswer) VisitResumeAllResponse(w http.ResponseWriter) error       { return a.write(w) }
func (a savedAnswer) VisitPauseMerchantResponse(w http.ResponseWriter) error   { return a.write(w) }
func (a savedAnswer) VisitResumeMerchantResponse(w http.ResponseWriter) error  { return a.write(w) }
func (a savedAnswer) VisitPauseEndpointResponse(w http.ResponseWriter) error   { return a.write(w) }
func (a savedAnswer) VisitResumeEndpointResponse(w http.ResponseWriter) error  { return a.write(w) }
func (a savedAnswer) VisitAcceptChainResponse(w http.ResponseWriter) error     { return a.write(w) }
func (a savedAnswer) VisitResetChainResponse(w http.ResponseWriter) error      { return a.write(w) }
func (a savedAnswer) VisitAcceptDoubtResponse(w http.ResponseWriter) error     { return a.write(w) }
func (a savedAnswer) VisitRejectDoubtResponse(w http.ResponseWriter) error     { return a.write(w) }
func (a savedAnswer) VisitRetryQuarantineResponse(w http.ResponseWriter) error { return a.write(w) }
