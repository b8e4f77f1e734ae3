// Package heartbeat writes, every ten seconds, that a process lives. That write is also how the process learns whether
// the record takes writes, and whether new connections lead to the server that the old ones lead to: what must not
// happen while nothing can be recorded waits for [Heart.Beats].
package heartbeat
