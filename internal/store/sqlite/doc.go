// Package sqlite opens a [store.Store] on a SQLite file for the quickstart and the tests. It is a package of its own so
// that the driver is linked only where it is asked for: no production binary may import it (rooms_test.go says so).
//
// There is one connection. A caller inside [store.Store.InTx] who reaches for the store instead of the transaction
// waits for himself; Postgres would hide that mistake, so the suite runs here too.
package sqlite
