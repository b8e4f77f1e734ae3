// Package testkit gives tests, and programs that measure the gateway or inject faults into it, the real things that the
// gateway runs on: a Postgres database, a Redis server, a scripted webhook receiver and a clock that is set by hand.
//
// [Postgres] returns a fresh, empty database. All packages of one `make test` share one private Postgres instance,
// which the launcher in cmd/services starts and stops; a plain `go test ./x` starts an instance of its own. [Redis]
// starts a private redis-server for one test, which can be stopped, killed, paused and started again on the same
// address and directory. Whatever is started ends with the process that started it, even when that process is killed: a
// small shell (see reaper.go) waits for the end of a pipe and cleans up.
//
// Functions take a [TB], which every *testing.T is, and which [Main] makes for a program.
//
// [Programs] builds programs of the module once for all test binaries, and [Go] is any other command that compiles.
//
// A missing program fails the test and names what to install; nothing is ever skipped. Servers listen on loopback only.
//
// The package knows nothing of the gateway: it imports no other package of ours, and no binary that ships imports it.
// It is the one place that keeps process-wide state (the shared Postgres, the built programs and the reaper), because a
// test binary is one process.
package testkit
