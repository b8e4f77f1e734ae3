// Package store is the only package that speaks SQL. It keeps the record: what it has committed happened, and what it
// has not did not, whatever Redis says.
//
// It promises that [Store.InTx] is one transaction, tried again when the database asks for that; that a delivery row
// committed in it is handed to the hook of [Store.OnCommit], never before; and that both engines, Postgres and SQLite,
// pass the same suite (storetest). It decides nothing about payments or deliveries: it reads and writes rows.
//
// Each noun has a file. Methods on [Queries] work inside and outside a transaction; methods on [Tx] only make sense
// together with other writes and therefore need one.
package store
