package delivery_test

import (
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

func passURL(_ egress.Tenant, raw string) (string, error) { return raw, nil }

func postgres(t testing.TB) *store.Store { return storetest.Postgres(t) }
