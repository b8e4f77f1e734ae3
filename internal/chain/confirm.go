package chain

// Confirmations counts the blocks from a block to the head, both of them: a block that is the head has one. It is 0 for
// a block above the head.
func Confirmations(head, block uint64) uint64 {
	if block > head {
		return 0
	}
	return head - block + 1
}

// FinalByDepth is the newest block that has at least depth confirmations, see [Confirmations]: with depth 1 the head is
// final, with depth 12 the block 11 below it. It is 0 while the chain is shorter than that.
func FinalByDepth(head, depth uint64) uint64 {
	if depth == 0 {
		depth = 1
	}
	if head < depth-1 {
		return 0
	}
	return head - (depth - 1)
}

// FinalPoint is the newest block that cannot go away: the one that the chain's own tag names, where it has a tag, but
// none above the head that we know; otherwise the one of [FinalByDepth].
func FinalPoint(head uint64, tag *uint64, depth uint64) uint64 {
	if tag != nil {
		return min(*tag, head)
	}
	return FinalByDepth(head, depth)
}
