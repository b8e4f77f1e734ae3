// Package access knows who is a merchant, and what each API key and operator token may do. It promises that a key is
// stored only as its hash, that a key grants only scopes it has itself, that a revoked key ends within [CacheFor], and
// that every change writes an audit line in the transaction of the change.
package access
