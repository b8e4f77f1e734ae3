// Package otlp sends spans to a collector over OTLP/HTTP. It is a package of its own so that the exporter, with gRPC
// and what that needs, is linked only where it is asked for: the programs hand [New] to the gateway, and the first run
// of the quickstart does not compile it.
//
// It dials the collector that the configuration names, and nobody else.
package otlp
