// Package operate is what an operator does about chains: how far they are, reading blocks again, letting a halted chain
// go on, holding the record against a provider and against balances, doubts, and payments that were set aside.
//
// It promises that ctripctl and the operator's routes do the same, since both come here, and that a change and its line
// of the audit log are one transaction: the caller's where a method takes one, otherwise its own. It decides nothing
// about money itself: that is internal/payments and internal/scanner.
package operate
