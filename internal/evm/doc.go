// Package evm asks Ethereum nodes. A [Pool] is the providers of one chain: it fails over between them, checks on every
// connection that each is on the right chain, and refuses answers that contradict themselves.
//
// It promises that the parts of an answer fit together: the logs of a block are that block's, and balances are those
// after the very block that was named. That a block holds no transfer of a listed token is believed only when its
// receipts or a second provider confirm it; a bloom filter is not enough. What is missing, short or cut off is an
// error, never an empty success.
//
// It reads leniently what nodes write in their own way, and decodes only the fields that it needs, so that transaction
// types of second layers do not stop it. A log that does not fit its block is passed on as doubtful, and costs a
// question only when it pays somebody ([Pool.Happened]). It finds out what a provider does not take (batches, ranges,
// blockHash, receipts together) and goes on in smaller steps, keeps to Options.Rate, and leaves a provider alone that
// asks for a pause. Its errors and log lines name a provider by host only, because the rest of its URL may be a key.
//
// It holds what providers tell of a block against the hash of that block where the chain's encoding is known
// ([Pool.Prove], [Pool.Proofs]); with Options.Proofs "all" every block as it is read.
//
// It does not promise that a provider tells the truth: an answer that fits together may still be invented, the hash of
// a block with it. [Pool.Agree] asks a second provider for the hash of a block. It keeps no record and decides nothing
// about payments.
package evm
