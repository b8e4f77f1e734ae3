// Command services runs a command with a private Postgres beside it:
//
//	go run ./internal/testkit/cmd/services -- go test ./...
//
// The command finds the instance by TEST_POSTGRES_URL. When it ends, or this program is told to stop or is killed, the
// command's process group and the instance end too. The exit code is the command's. With -durable the instance syncs to
// disk as in production.
package main
