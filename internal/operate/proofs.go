package operate

import (
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// ProofText words which proofs work, and why the others do not.
func ProofText(parts evm.ProofParts) string {
	var works, not []string
	for _, p := range []struct {
		name string
		part evm.ProofPart
	}{{"header", parts.Header}, {"transactions", parts.Transactions}, {"receipts", parts.Receipts}} {
		if p.part.Works {
			works = append(works, p.name)
		} else {
			not = append(not, p.name+" ("+strings.Join(strings.Fields(p.part.Why), " ")+")")
		}
	}
	switch {
	case len(not) == 0:
		return "header, transactions and receipts hash to the hashes of the blocks"
	case len(works) == 0:
		return "nothing can be proven: " + strings.Join(not, ", ")
	}
	return strings.Join(works, " and ") + " can be proven, and not " + strings.Join(not, ", ")
}
