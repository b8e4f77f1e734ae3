// Package telemetry is how the gateway is watched: one structured log line for each thing that happened, metrics with
// fixed names, and a trace for each attempt to deliver a webhook.
//
// It promises that a log line never shows what its key or its shape says is a secret, even where a caller forgot to use
// a redacting type; that metric names and labels stay as they are, with no endpoint, payment or merchant among the
// labels; and that [Traceparent] is a valid header whether or not spans are exported. A nil [*Metrics] and a nil
// [*Tracing] work and record nothing.
//
// It does not decide what is worth logging, holds no globals, and reads no environment: settings come in as Options. It
// is the only package that knows Prometheus and OpenTelemetry; every other package calls methods with plain values.
package telemetry
