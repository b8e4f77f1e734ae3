// Package access keeps the doors: who is a merchant, and which API keys open what. It promises that a key is stored only as
// its hash, that a key grants only scopes it has itself, that a revoked key ends within [CacheFor], and that every change
// writes an audit line in the transaction of the change.
package access
