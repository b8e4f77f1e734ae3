package chain

// FinalByDepth is the newest block that has at least depth confirmations when the block itself counts as one: with depth 1
// the head is final, with depth 12 the block 11 below it. It is 0 while the chain is shorter than that.
func FinalByDepth(head, depth uint64) uint64 {
	if depth == 0 {
		depth = 1
	}
	if head < depth-1 {
		return 0
	}
	return head - (depth - 1)
}
