package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// HeaderEventPosition tells the position of the event among its merchant's, of a batch those of its events, in their
// order and with commas. It is the same on every attempt, redelivery and replay. No signature covers it: what proves
// that nothing is missing is the list of events, and positions tell where to look.
const HeaderEventPosition = "ctrip-event-position"

// maxPositions bounds what is read of one header: a batch has fewer events.
const maxPositions = 1000

// FormatPositions is the value of [HeaderEventPosition].
func FormatPositions(positions []int64) string {
	var b []byte
	for i, p := range positions {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, p, 10)
	}
	return string(b)
}

// PositionsOf reads [HeaderEventPosition]: one position, of a batch several. A request without the header has none. A
// header that holds anything else is [ErrMalformed].
func PositionsOf(h http.Header) ([]int64, error) {
	all := values(h, HeaderEventPosition)
	if len(all) == 0 {
		return nil, nil
	}
	texts := strings.Split(all[0], ",")
	if len(all) > 1 || len(texts) > maxPositions {
		return nil, fmt.Errorf("%w: %s", ErrMalformed, HeaderEventPosition)
	}
	positions := make([]int64, len(texts))
	for i, text := range texts {
		p, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil || p < 1 {
			return nil, fmt.Errorf("%w: %s", ErrMalformed, HeaderEventPosition)
		}
		positions[i] = p
	}
	return positions, nil
}

// Gap is a range of positions that were not seen: those behind After, up to and with Last.
type Gap struct {
	After int64 `json:"after"` // where to begin reading: GET /events?after=
	Last  int64 `json:"last"`
}

// Positions remembers which positions of one merchant's events were seen, and tells the gaps between them. A position
// in a gap is an event that is still on its way, that the endpoint did not ask for, or that is lost: the list of events
// tells which. Read it from Gap.After on, handle what is new, and say with [Positions.Fill] how far you read. When
// there is no gap left, nothing is missing up to [Positions.Last].
//
// The zero value begins with the first position it is given; [Positions.Fill] with 0 and the newest position
// that is of no interest any more makes it begin there. It is small: what is kept are ranges, and it goes into a
// database as JSON. It is not safe for use by several goroutines.
type Positions struct {
	seen []span // sorted, apart from each other
}

// span is positions from First to Last, both included.
type span struct{ First, Last int64 }

// Add notes positions that were seen.
func (p *Positions) Add(positions ...int64) {
	for _, pos := range positions {
		p.add(span{pos, pos})
	}
}

// Fill notes that the list of events was read from behind one position up to and with another: what is between them and
// was not in the list is not there.
func (p *Positions) Fill(after, last int64) { p.add(span{after + 1, last}) }

func (p *Positions) add(s span) {
	if s.First < 1 || s.Last < s.First {
		return
	}
	from := sort.Search(len(p.seen), func(i int) bool { return p.seen[i].Last >= s.First-1 })
	to := from
	for ; to < len(p.seen) && p.seen[to].First-1 <= s.Last; to++ {
		s.First, s.Last = min(s.First, p.seen[to].First), max(s.Last, p.seen[to].Last)
	}
	p.seen = slices.Replace(p.seen, from, to, s)
}

// Seen reports whether a position was seen or filled.
func (p *Positions) Seen(pos int64) bool {
	i := sort.Search(len(p.seen), func(i int) bool { return p.seen[i].Last >= pos })
	return i < len(p.seen) && p.seen[i].First <= pos
}

// Last is the greatest position seen, 0 for none.
func (p *Positions) Last() int64 {
	if len(p.seen) == 0 {
		return 0
	}
	return p.seen[len(p.seen)-1].Last
}

// Gaps are the ranges between the first position seen and the last one of which nothing was seen, lowest first.
func (p *Positions) Gaps() []Gap {
	var gaps []Gap
	for i := 1; i < len(p.seen); i++ {
		gaps = append(gaps, Gap{After: p.seen[i-1].Last, Last: p.seen[i].First - 1})
	}
	return gaps
}

// MarshalJSON gives the ranges seen: [[1,41],[43,50]].
func (p Positions) MarshalJSON() ([]byte, error) {
	ranges := make([][2]int64, len(p.seen))
	for i, s := range p.seen {
		ranges[i] = [2]int64{s.First, s.Last}
	}
	return json.Marshal(ranges)
}

// UnmarshalJSON reads what [Positions.MarshalJSON] gives.
func (p *Positions) UnmarshalJSON(b []byte) error {
	var ranges [][2]int64
	if err := json.Unmarshal(b, &ranges); err != nil {
		return fmt.Errorf("webhook: positions: %w", err)
	}
	var read Positions
	for _, r := range ranges {
		if r[0] < 1 || r[1] < r[0] {
			return fmt.Errorf("webhook: positions: %d to %d is no range", r[0], r[1])
		}
		read.add(span{r[0], r[1]})
	}
	*p = read
	return nil
}
