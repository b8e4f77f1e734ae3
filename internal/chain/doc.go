// Package chain is the logic of blocks: how a record follows a chain ([Follow]), what a block holds for somebody
// ([Match]), how deep it lies and which number is final ([FinalPoint]), and the small values that an EVM chain is made
// of.
//
// It is pure: no context, no clock, no connection. It reads no blocks (internal/evm does) and records none
// (internal/scanner does).
package chain
