// Package quickstart runs the whole gateway in one process on a machine with nothing but Go, and tells what happens.
//
// The gateway is the production program: app.New with the configuration of a toy world (internal/devnet), in which
// Redis is embedded, the database is a SQLite file and the chain is a geth node in memory. Nothing in the gateway knows
// that it is being shown. Each line of the story is printed by whoever observed it: the shop's webhook receiver, an
// answer of the API, the chain.
package quickstart
