// Package openapi holds HTTP requests against an OpenAPI file, before a handler sees them.
//
// It promises that a request that passes [Spec.Check] fits the file: its parameters, its media type, its body as strict
// JSON, and our own rules of the file, most of them under x-. What does not fit is an [*Error] that names every faulty
// field with a message and a good value, both fit for a merchant's eyes. It knows neither the router nor the form of an
// answer: internal/api turns an [*Error] into a problem document. It does not check authentication or answers
// (internal/testkit/contract checks answers). It serves internal/api and internal/api/reference.
package openapi
