package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// every is how often a process says that it lives.
	every = 10 * time.Second
	// again is how soon it tries again after a failure.
	again = time.Second
	// patience is how long one try may take.
	patience = 4 * time.Second
	// stale is how old the last success may be.
	stale = models.ProcessAlive
)

// Options are what a Heart needs.
type Options struct {
	Store   *store.Store
	Process models.Process
	// Pooled says that a pooler stands before the database: how many connections the server gives is its business then.
	Pooled bool
	Logger *slog.Logger
	Now    func() time.Time
}

// Heart is the heartbeat of one process.
type Heart struct {
	opts Options

	mu    sync.Mutex
	beats chan struct{} // closed while the last write succeeded
	made  time.Time
	last  time.Time // success
	err   error

	counted bool // by Run alone
}

// New checks the options and returns a Heart that does not beat yet.
func New(o Options) (*Heart, error) {
	if o.Store == nil || o.Logger == nil || o.Now == nil || o.Process.ID == "" {
		return nil, errors.New("heartbeat: Store, Process, Logger and Now are needed")
	}
	return &Heart{opts: o, beats: make(chan struct{}), made: o.Now()}, nil
}

// Run beats until ctx ends, and then removes the row of the process, so that nobody waits for it.
func (h *Heart) Run(ctx context.Context) error {
	for {
		wait, refused := every, h.opts.Store.RefusedWrites()
		if err := h.beat(ctx); err != nil {
			wait, refused = again, nil // it is known
		}
		select {
		case <-time.After(wait):
		case <-refused:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), again)
			defer cancel()
			if err := h.opts.Store.RemoveProcess(ctx, h.opts.Process.ID); err != nil {
				h.opts.Logger.WarnContext(ctx, "heartbeat.not_removed", "error", err)
			}
			return nil
		}
	}
}

// beat writes once, and judges what it met.
func (h *Heart) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	server, err := h.opts.Store.Seen(ctx, h.opts.Process)
	h.mu.Lock()
	failedBefore := h.err != nil
	h.err = err
	if err == nil {
		h.last = h.opts.Now()
	}
	h.mu.Unlock()
	switch {
	case err == nil:
		if !h.counted && !h.opts.Pooled {
			h.counted = true
			h.warnOfConnections(ctx, server)
		}
		h.opts.Store.Renew(server) // after a failover old connections may lead to a server that is not ours any more
		h.open()
		if failedBefore {
			h.opts.Logger.InfoContext(ctx, "heartbeat.recovered")
		}
	case !failedBefore:
		h.shut()
		h.opts.Logger.ErrorContext(ctx, "heartbeat.failed", "error", err)
	default:
		h.shut()
	}
	return err
}

// warnOfConnections compares the connections that all live processes may open with those that the server gives.
func (h *Heart) warnOfConnections(ctx context.Context, server store.Server) {
	all, now, err := h.opts.Store.Processes(ctx)
	if err != nil || server.MaxConns == 0 {
		return
	}
	sum, alive := models.PoolsOf(all, now)
	if sum > server.MaxConns {
		h.opts.Logger.WarnContext(ctx, "database.pools_exceed_connections", "processes", alive, "pools", sum,
			"max_connections", server.MaxConns, "hint", "lower DB_MAX_OPEN_CONNS, raise max_connections, or use a pooler")
	}
}

func (h *Heart) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.beats:
	default:
		close(h.beats)
	}
}

func (h *Heart) shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.beats:
		h.beats = make(chan struct{})
	default:
	}
}

// Beats returns a channel that is closed once the record takes writes.
func (h *Heart) Beats() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats
}

// Age is how long ago this process last wrote, counted from its start while it has written nothing.
func (h *Heart) Age() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsZero() {
		return h.opts.Now().Sub(h.made)
	}
	return h.opts.Now().Sub(h.last)
}

// Check reports why the record does not take the writes of this process, nil when it does.
func (h *Heart) Check(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch age := h.opts.Now().Sub(h.last); {
	case h.err != nil:
		return h.err
	case h.last.IsZero():
		return errors.New("this process has written nothing yet")
	case age > stale:
		return fmt.Errorf("the last write of this process is %s old", age.Round(time.Second))
	}
	return nil
}
