// Package apptest runs the production gateway in the process of a test: the API, a worker and a scanner as cmd/api,
// cmd/worker and cmd/scanner wire them, on Postgres, with a Redis and a toy chain that mines by itself.
//
// It is for tests of what speaks to the API from outside, such as the client and ctripctl. It promises no kill and no
// faults: that is internal/testkit/gateway, which runs the binaries.
package apptest
