// Package client calls the gateway's REST API.
//
// It has one method for each operation of the OpenAPI file, from which they and their types are generated, so that the
// two cannot disagree. What is written by hand is small: [New], requests that are sent again when that is safe, problem
// documents as errors, and iterators over lists.
//
// It promises that a POST is done once, however often it is sent: each carries an Idempotency-Key, [IdempotencyKey]'s
// or one that it makes, and every retry of it carries the same. What is refused is a [*Problem], with every faulty
// field and the request id. Bodies of events come as the bytes that were sent to endpoints. A key is sent to the URL of
// [Options] and nowhere else: redirects are not followed.
//
// It does not verify webhooks: that is package webhook. Beside that package it imports only the standard library. It
// serves merchants; with an operator token as its key, the operations under /admin/v1 are open too.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config oapi-codegen.yaml -o client.gen.go ../internal/api/openapi.yaml
