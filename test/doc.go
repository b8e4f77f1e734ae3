// Package test drives the production binaries as processes, from outside: real Postgres, real Redis, two kinds of
// Ethereum node, real sockets, and kill -9. It holds no code but tests.
package test
