// Package storetest runs one suite on every engine. [Each] gives a test a fresh, migrated store of Postgres and of
// SQLite in turn, so that nothing can come to rely on one of them.
package storetest
