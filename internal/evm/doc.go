// Package evm asks Ethereum nodes. A [Pool] is the providers of one chain: it fails over between them, checks that each
// is on the right chain, and believes no answer that contradicts itself.
//
// It promises that what it returns hangs together: the logs of a block are that block's, an empty answer that the block's
// bloom filter doubts was asked for again another way, and a missing block is an error, never an empty one. It decodes only
// the fields it needs, so that transaction types of second layers do not stop it. It keeps no record and decides nothing
// about payments.
package evm
