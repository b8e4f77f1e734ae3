package wiring_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

var discard = slog.New(slog.DiscardHandler)

// TestBadSettingIsNamed: the error says which setting cannot be used, and shows nothing of a secret.
func TestBadSettingIsNamed(t *testing.T) {
	client, err := wiring.Egress(config.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"WEBHOOK_ALLOW": func() error {
			_, err := wiring.Egress(config.Config{Webhook: config.Webhook{Allow: "shop.example:none"}})
			return err
		},
		"EGRESS_PROXY": func() error {
			_, err := wiring.Egress(config.Config{Egress: config.Egress{Proxy: "s3cret:pw"}})
			return err
		},
		"WEBHOOK_SECRET": func() error {
			cfg := config.Config{Webhook: config.Webhook{Secret: "s3cret"}}
			_, err := wiring.Endpoints(cfg, nil, nil, client, time.Now)
			return err
		},
	} {
		err := make()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		} else if name != "WEBHOOK_ALLOW" && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error quotes the value: %v", name, err)
		}
	}
}

// TestEgressInProduction: https only, and an entry of WEBHOOK_ALLOW is for the merchant that it names.
func TestEgressInProduction(t *testing.T) {
	const free = "https://10.1.2.3/"
	for _, c := range []struct {
		env, merchant, url string
		want               bool
	}{
		{config.Test, "mer_2", free, true},
		{config.Test, "mer_2", "http://10.1.2.3/", true},
		{config.Production, "mer_1", free, true},
		{config.Production, "mer_1", "http://10.1.2.3/", false},
		{config.Production, "mer_2", free, false},
	} {
		cfg := config.Config{Env: c.env, Webhook: config.Webhook{Allow: "10.0.0.0/8"}}
		if cfg.IsProduction() {
			cfg.Webhook.Allow = "mer_1=10.0.0.0/8"
		}
		client, err := wiring.Egress(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CheckURL(egress.Tenant{Merchant: c.merchant}, c.url); (err == nil) != c.want {
			t.Errorf("%s, %s, %s: %v", c.env, c.merchant, c.url, err)
		}
	}
}

// TestChainsNamesTheBadOne: one chain that cannot be used fails all of them.
func TestChainsNamesTheBadOne(t *testing.T) {
	cfg := config.Config{Chains: []config.Chain{
		{Name: "good", ChainID: 1, RPCURLs: []config.URL{"http://127.0.0.1:1"}},
		{Name: "bad", ChainID: 2},
	}}
	if pools, err := wiring.Chains(cfg, time.Now, discard, nil); err == nil || pools != nil ||
		!strings.HasPrefix(err.Error(), "chain bad: ") {
		t.Errorf("%v, %v", pools, err)
	}
	cfg.Chains = cfg.Chains[:1]
	pools, err := wiring.Chains(cfg, time.Now, discard, nil)
	if err != nil || len(pools) != 1 {
		t.Fatalf("%v, %v", pools, err)
	}
	defer pools.Close()
	if _, err := pools.Used(t.Context(), 2, nil); err == nil || err.Error() != "chain 2 is not configured" {
		t.Errorf("%v", err)
	}
}
