package main

import (
	"slices"
	"sync"
)

// Moments at which a breakpoint can be set.
const (
	taskTaken     = "task taken"       // a worker's Redis has given it a task, which it does not know yet
	rowLoaded     = "row loaded"       // Postgres has answered what is to be sent
	commitSent    = "commit held back" // a worker has sent verdicts, which Postgres has not got
	commitOnWay   = "answer held back" // Postgres has committed verdicts, of which the worker does not know
	commitKnown   = "answer passed on" // the worker has just been told
	beforeAnswer  = "before the 2xx"   // the receiver has a request and is about to accept it
	afterAccepted = "after the 2xx"    // the receiver has sent its 2xx
)

// breakpoint is hit at the n-th time that a moment comes.
type breakpoint struct {
	moment, victim string // victim is "" for whoever comes
	nth            int
	onHit          func(victim string)
	done           chan struct{}
}

// breakpoints holds the breakpoint that is set, if one is.
type breakpoints struct {
	mu  sync.Mutex
	set *breakpoint
}

// Set sets a breakpoint at the n-th moment of a process, or with "" of any, and returns a channel that is closed when
// it has hit. onHit is told whose moment it was, and returns before the process can go on.
func (b *breakpoints) Set(moment, victim string, nth int, onHit func(victim string)) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set = &breakpoint{moment, victim, nth, onHit, make(chan struct{})}
	return b.set.done
}

// Clear removes it.
func (b *breakpoints) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set = nil
}

// Waits reports whether a breakpoint is set at one of these moments.
func (b *breakpoints) Waits(moments ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set != nil && slices.Contains(moments, b.set.moment)
}

// At tells that a moment of a process has come, and reports whether the breakpoint was hit.
func (b *breakpoints) At(moment, whose string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.set == nil || b.set.moment != moment || b.set.victim != "" && b.set.victim != whose {
		return false
	}
	if b.set.nth--; b.set.nth > 0 {
		return false
	}
	b.set.onHit(whose)
	close(b.set.done)
	b.set = nil
	return true
}
