// Package chain is the logic of blocks: what a block holds for somebody ([Match]), how deep it lies and which
// number is final ([FinalPoint]), and the small values that an EVM chain is made of. It is pure: no context,
// no clock, no connection. Who reads blocks is internal/evm, who records them internal/scanner.
package chain
