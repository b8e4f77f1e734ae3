// Package breaker decides when nothing is sent to an endpoint for a while, when a single delivery is let through to try
// it, and how fast what waited follows when it works again.
//
// Everything in it is a pure function over values: it reads no clock and writes nothing. It promises that the same
// counts and the same endpoint give the same answer. It does not count attempts and does not hold the state:
// internal/delivery counts and judges, internal/outbox claims the probes, and the state is in the row of the endpoint.
package breaker
