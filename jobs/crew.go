package jobs

import "sync"

// crew does work on goroutines that live on. Asynq starts one for every task, and an attempt would make its small stack
// grow several times over; the one of the crew that was busy last has a stack that is large enough.
type crew struct {
	mu   sync.Mutex
	idle []*hand
}

// hand is one goroutine of a crew.
type hand struct {
	work chan func() error
	done chan result
}

type result struct {
	err      error
	panicked any
}

// do does work and returns its error. A panic is the caller's.
func (c *crew) do(work func() error) error {
	h := c.take()
	h.work <- work
	r := <-h.done
	c.mu.Lock()
	c.idle = append(c.idle, h)
	c.mu.Unlock()
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

func (c *crew) take() *hand {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		h := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return h
	}
	h := &hand{make(chan func() error), make(chan result, 1)}
	go h.run()
	return h
}

// dismiss ends the goroutines that are idle.
func (c *crew) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.idle {
		close(h.work)
	}
	c.idle = nil
}

func (h *hand) run() {
	for work := range h.work {
		h.done <- attempt(work)
	}
}

func attempt(work func() error) (r result) {
	defer func() { r.panicked = recover() }()
	return result{err: work()}
}
