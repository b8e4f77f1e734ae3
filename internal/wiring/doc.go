// Package wiring makes the parts of the gateway out of a [config.Config]: one function a part, so that a process, an
// operator's command, a benchmark and a test build each of them in the same way and obey the same settings.
//
// It promises that a setting which cannot be used is named in the error, never quoted where it may hold a secret, and
// that a function which fails leaves nothing open. Whatever has a Close method is closed by the caller.
//
// It holds no state and starts nothing: internal/app decides which parts a process has, runs them and stops them.
package wiring
