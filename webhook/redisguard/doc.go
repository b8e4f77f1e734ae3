// Package redisguard is a [webhook.Guard] in Redis 7 or newer, for receivers of several processes. It works with one
// server, with Sentinel and with Cluster: each id is one key.
//
// It promises that of all claims of one id at most one is won until it is released or runs out, and that a claim that
// ran out and was taken over by another cannot be released. It remembers no longer than the Redis does: one that may
// lose its keys (no persistence, eviction under memory pressure) lets duplicates through afterwards. A receiver that
// moves money keeps the ids in its database: see webhook/sqlguard.
package redisguard
