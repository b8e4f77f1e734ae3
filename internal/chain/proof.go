package chain

// Claimed is a block, and what is recorded of it that should be proven.
type Claimed struct {
	Block    Ref
	Provider string // who gave the block; "" when nobody remembers
	Claims   []Claim
}

// Finding is what a proof says of a claim.
type Finding int

// Findings. A proof cannot tell of a call that a contract made, nor of a balance.
const (
	CannotTell Finding = iota
	Holds
	HoldsNot
)

// Verdict is what could be proven of a block.
type Verdict struct {
	// Proven says that the content that a provider gave hashes to the hash of the block. Findings then has one for each
	// claim.
	Proven   bool
	Findings []Finding
	ProvenBy string // the provider whose content it was
	// Expected says that the blocks of this chain can be proven; what is not proven is then a contradiction.
	Expected bool
	// Unreachable says that a provider could not be asked, and that nobody has proven the block.
	Unreachable bool
	Answers     []Answer // of the providers whose content does not hash
}

// Evidence proves a claim to whoever has the hash of its block: the header that hashes to it, and the nodes of the
// trees on the way from the roots in the header to the transaction and its receipt.
type Evidence struct {
	Header               []byte
	Index                int // of the transaction
	Transaction, Receipt [][]byte
	Log                  int    // the place of the log in the receipt, -1 when the transaction itself carries the coin
	Reason               string // why there is none; "" when there is
}
