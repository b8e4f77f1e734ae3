package models

// Places of values that the vault seals, each bound to its row and column: "table/row/column".

// SecretAAD is that of an endpoint's signing secret.
func SecretAAD(secretID string) string { return "endpoint_secrets/" + secretID + "/secret" }

// SigningKeyAAD is that of a signing key of the gateway.
func SigningKeyAAD(keyID string) string { return "signing_keys/" + keyID + "/key" }

// HeadersAAD is that of an endpoint's custom headers.
func HeadersAAD(endpointID string) string { return "webhook_endpoints/" + endpointID + "/headers" }

// ClientKeyAAD is that of the private key of an endpoint's client certificate.
func ClientKeyAAD(endpointID string) string {
	return "webhook_endpoints/" + endpointID + "/client_key"
}

// AnswerAAD is that of an answer kept for an idempotency key.
func AnswerAAD(merchantID, method, path, key string) string {
	return "idempotency_keys/" + merchantID + " " + method + " " + path + " " + key + "/answer"
}
