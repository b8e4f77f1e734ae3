// Package suite divides the tests of the module into the runs of `make test` and `make test-real`.
//
// A package is in exactly one [Run]. [Real] is decided by its directory, [Race] by its code: whoever starts a
// goroutine or synchronizes is tested with the race detector, the others are not, because they would be compiled and
// run slower for nothing.
//
// It reads source files and `go list`; it compiles and runs nothing.
package suite
