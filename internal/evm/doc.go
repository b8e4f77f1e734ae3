// Package evm asks Ethereum nodes. A [Pool] is the providers of one chain: it fails over between them, checks on every
// connection that each is on the right chain, and refuses answers that contradict themselves.
//
// It promises that the parts of an answer fit together: the logs of a block are that block's, an empty list of logs was
// held against every receipt where the block's bloom filter says that there are some, and balances are those after the
// very block that was named. What is missing, short or cut off is an error, never an empty success. It decodes only the
// fields it needs, so that transaction types of second layers do not stop it. Its errors and log lines name a provider
// by host only, because the rest of its URL may be a key.
//
// It does not promise that a provider tells the truth: an answer that fits together may still be invented. [Pool.Agree]
// asks a second provider for the hash of a block. It keeps no record and decides nothing about payments.
package evm
