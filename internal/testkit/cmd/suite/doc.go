// Command suite prints the packages of one run of the tests, one a line:
//
//	go test $(go run ./internal/testkit/cmd/suite plain)
//
// The runs are plain, race and real; package suite says what they are. With -why it prints what decided for the race
// detector as well.
package main
