// Command quickstart runs the gateway, a chain, a Redis and a demo shop in one process. See internal/quickstart.
package main
