// Package money is the part of the chaos suite that is about money that arrives: CHAOS_PART=scanner.
//
// Payments are made over REST and paid by every way in, on a chain that is go-ethereum's and reorganises up to 64
// blocks deep. Two providers stand before it, proxies that limit, fail, lag, answer oddly and lie, one trouble at a
// time, and scanners are killed. At the end an oracle reads the canonical chain in full, every receipt and every
// balance, and holds the record and its events against it.
//
// A plan ([NewPlan]) is made of the seed alone. [Run] carries it out, and [Judge], which only computes, says what came
// of it. docs/reliability.md defines every number of the last line:
//
//	payments=N right=N missed=N believed_wrongly=N announced_twice=N
package money
