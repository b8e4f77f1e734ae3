// Package contract holds the answers of a gateway against its OpenAPI file: status, headers and body. It promises to
// refuse an answer that the file does not allow at all, one without what every answer has (a request id, a wait where
// waiting is the advice, what is left of the rate), and a problem whose code the file does not name where it occurs. It
// serves the tests of the REST API and those of whole processes.
package contract
