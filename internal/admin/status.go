package admin

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

// Status is the state of the whole gateway on one screen.
type Status = operate.Status

// Status reads the state of everything, and changes nothing. A Redis that does not answer is part of the answer.
func (a *Admin) Status(ctx context.Context) (Status, error) {
	return operate.ReadStatus(ctx, a.store, a.now, a.readLanes)
}

// readLanes reads the queues over one connection.
func (a *Admin) readLanes(ctx context.Context) ([]telemetry.Lane, error) {
	if err := a.cfg.Need("REDIS_URL"); err != nil {
		return nil, err
	}
	one := a.cfg
	one.Redis.PoolSize = 1
	r, err := wiring.Redis(one)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	client, err := wiring.Jobs(one, r, a.now)
	if err != nil {
		return nil, err
	}
	return client.Lanes(ctx)
}
