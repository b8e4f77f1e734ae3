package chain

import "strings"

// Known is what was found out about a chain and is worth more than the process that found it out. What can be proven
// once is expected from then on, and a bloom filter that was wrong once says nothing any more.
type Known struct {
	Headers, Transactions, Receipts bool // hash to the hashes of blocks
	WrongBloom                      bool // a block held a log that its bloom filter excludes
}

func (k *Known) words() []struct {
	word string
	is   *bool
} {
	return []struct {
		word string
		is   *bool
	}{
		{"headers", &k.Headers}, {"transactions", &k.Transactions}, {"receipts", &k.Receipts},
		{"wrong_bloom", &k.WrongBloom},
	}
}

// String writes it as [ParseKnown] reads it.
func (k Known) String() string {
	var words []string
	for _, w := range k.words() {
		if *w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}

// ParseKnown reads what [Known.String] wrote. Words of other releases are passed over.
func ParseKnown(text string) (k Known) {
	for _, word := range strings.Fields(text) {
		for _, w := range k.words() {
			*w.is = *w.is || w.word == word
		}
	}
	return k
}
