package limits

import "sync"

// Everybody is the key of [Slots] under which all things of a kind are counted.
const Everybody = ""

// Slots bound how many things of one kind are under way at once for each of several keys, in this process. The zero
// value has none under way.
type Slots struct {
	mu    sync.Mutex
	taken map[string]int
}

// Take takes a slot for every key, or none; most says how many each may have. leave gives them back.
func (p *Slots) Take(most map[string]int) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, n := range most {
		if p.taken[key] >= n {
			return nil, false
		}
	}
	if p.taken == nil {
		p.taken = make(map[string]int)
	}
	for key := range most {
		p.taken[key]++
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for key := range most {
			if p.taken[key]--; p.taken[key] == 0 {
				delete(p.taken, key)
			}
		}
	}, true
}
