// Package proof is for whoever does not want to believe the gateway: [Transfers] holds the transfers that an event
// tells of against a node of the reader's choice, and [Evidence] is what a dispute needs of one delivery, sealed so
// that [Open] finds any change to it without the gateway.
//
// It promises that a transfer is proven only when the named transaction succeeded in the named block, that block is the
// one that the node has at its number, and the log or the transaction itself moved exactly this amount of this asset
// from this sender to the payment's address; that a transfer that is listed twice, or a sum that the transfers do not
// give, is refuted; and that evidence opens only with every byte as it was when it was exported.
//
// It does not collect evidence (internal/admin does), reads no database and sends nothing to anybody but the node.
package proof
