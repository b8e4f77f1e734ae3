// Package vault encrypts the secrets that the database keeps: endpoint secrets, client keys, custom headers, kept
// answers.
//
// It promises that what [Vault.Seal] gave opens only with the same key and the same place, and unchanged: AES-256-GCM,
// a fresh random nonce each time, and a place ("table/id/column") that is authenticated with it, so that a sealed value
// copied into another row or column does not open. Each sealed value names its key, so keys can be rotated: the first
// key seals, every key opens, and [Vault.NeedsReseal] finds what still lies under an old one. A [Key] prints as
// [redacted].
//
// It stores nothing, fetches no keys and does not hide how long a secret is. One key should seal fewer than 2^32
// values; after that a random nonce could repeat. It serves internal/payments, internal/delivery, internal/api and
// internal/admin.
package vault
