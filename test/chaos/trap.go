package main

import (
	"slices"
	"sync"
)

// Moments that a trap can wait for.
const (
	taskTaken     = "task taken"       // a worker's Redis has given it a task, which it does not know yet
	rowLoaded     = "row loaded"       // Postgres has answered what is to be sent
	commitSent    = "commit held back" // a worker has sent verdicts, which Postgres has not got
	commitOnWay   = "answer held back" // Postgres has committed verdicts, of which the worker does not know
	commitKnown   = "answer passed on" // the worker has just been told
	beforeAnswer  = "before the 2xx"   // the receiver has a request and is about to accept it
	afterAccepted = "after the 2xx"    // the receiver has sent its 2xx
)

// trap springs at the n-th time that a moment comes.
type trap struct {
	moment, victim string // victim is "" for whoever comes
	nth            int
	spring         func(victim string)
	done           chan struct{}
}

// traps holds the trap that is set, if one is.
type traps struct {
	mu  sync.Mutex
	set *trap
}

// Set arms a trap for the n-th moment of a process, or with "" of any, and returns a channel that is closed when it has
// sprung. spring is told whose moment it was, and returns before the process can go on.
func (t *traps) Set(moment, victim string, nth int, spring func(victim string)) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set = &trap{moment, victim, nth, spring, make(chan struct{})}
	return t.set.done
}

// Clear disarms it.
func (t *traps) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set = nil
}

// Waits reports whether a trap is armed for one of these moments.
func (t *traps) Waits(moments ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.set != nil && slices.Contains(moments, t.set.moment)
}

// At tells that a moment of a process has come, and reports whether the trap has sprung.
func (t *traps) At(moment, whose string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set == nil || t.set.moment != moment || t.set.victim != "" && t.set.victim != whose {
		return false
	}
	if t.set.nth--; t.set.nth > 0 {
		return false
	}
	t.set.spring(whose)
	close(t.set.done)
	t.set = nil
	return true
}
