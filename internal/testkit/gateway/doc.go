// Package gateway runs the whole gateway as processes, for end-to-end tests, the chaos suite and the benchmarks: the
// production binaries, built as they ship, on a Postgres and a Redis of their own.
//
// [New] starts Postgres and Redis and migrates; [Gateway.Start] runs any number of api, worker and scanner processes,
// each with an environment of its own, which is also how a proxy is put in front of Postgres or Redis. [Gateway.Ctl] is
// ctripctl, [Gateway.API] a client of the REST API. What was started ends with the test, or with the program (see
// testkit.Main), even by SIGKILL.
//
// It knows the gateway from outside only: binaries, settings, REST, tables.
package gateway
