package jobs

import "sync"

// workerPool does work on goroutines that live on. Asynq starts one for every task, and an attempt would make its small
// stack grow several times over; the worker that was busy last has a stack that is large enough.
type workerPool struct {
	mu   sync.Mutex
	idle []*worker
}

// worker is one goroutine of a pool.
type worker struct {
	work chan func() error
	done chan result
}

type result struct {
	err      error
	panicked any
}

// do does work and returns its error. A panic is the caller's.
func (c *workerPool) do(work func() error) error {
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

func (c *workerPool) take() *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		h := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return h
	}
	h := &worker{make(chan func() error), make(chan result, 1)}
	go h.run()
	return h
}

// dismiss ends the goroutines that are idle.
func (c *workerPool) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.idle {
		close(h.work)
	}
	c.idle = nil
}

func (h *worker) run() {
	for work := range h.work {
		h.done <- attempt(work)
	}
}

func attempt(work func() error) (r result) {
	defer func() { r.panicked = recover() }()
	return result{err: work()}
}
