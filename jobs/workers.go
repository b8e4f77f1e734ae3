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
func (p *workerPool) do(work func() error) error {
	w := p.take()
	w.work <- work
	r := <-w.done
	p.mu.Lock()
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

func (p *workerPool) take() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return w
	}
	w := &worker{make(chan func() error), make(chan result, 1)}
	go w.run()
	return w
}

// dismiss ends the goroutines that are idle.
func (p *workerPool) dismiss() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle {
		close(w.work)
	}
	p.idle = nil
}

func (w *worker) run() {
	for work := range w.work {
		w.done <- attempt(work)
	}
}

func attempt(work func() error) (r result) {
	defer func() { r.panicked = recover() }()
	return result{err: work()}
}
