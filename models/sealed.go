package models

// Places of values that the vault seals, each bound to its row and column: "table/row/column".

// SecretPlace is that of an endpoint's signing secret.
func SecretPlace(secretID string) string { return "endpoint_secrets/" + secretID + "/secret" }

// SigningKeyPlace is that of a signing key of the gateway.
func SigningKeyPlace(keyID string) string { return "signing_keys/" + keyID + "/key" }

// HeadersPlace is that of an endpoint's custom headers.
func HeadersPlace(endpointID string) string { return "webhook_endpoints/" + endpointID + "/headers" }

// ClientKeyPlace is that of the private key of an endpoint's client certificate.
func ClientKeyPlace(endpointID string) string {
	return "webhook_endpoints/" + endpointID + "/client_key"
}

// AnswerPlace is that of an answer kept for an idempotency key.
func AnswerPlace(merchantID, method, path, key string) string {
	return "idempotency_keys/" + merchantID + " " + method + " " + path + " " + key + "/answer"
}
