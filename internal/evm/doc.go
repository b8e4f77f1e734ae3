// Package evm asks Ethereum nodes. A [Pool] is the providers of one chain: it fails over between them, checks on every
// connection that each is on the right chain, and believes no answer that contradicts itself.
//
// It promises that what it returns hangs together: the logs of a block are that block's, an empty answer that the block's
// bloom filter doubts was held against every receipt, balances are those after the very block that was named, and what is
// missing, short or cut off is an error, never an empty success. It decodes only the fields it needs, so that transaction
// types of second layers do not stop it. Its errors and log lines name a provider by host only, because the rest of its URL
// may be a key.
//
// It keeps no record and decides nothing about payments. It serves internal/scanner, internal/payments (through app) and
// internal/admin.
package evm
