package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// node answers eth_chainId, knows no block, and notes every other question: a doctor asks none.
func node(t *testing.T, chainID int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		err := json.NewDecoder(r.Body).Decode(&q)
		w.Header().Set("Content-Type", "application/json")
		if q.Method == "eth_getBlockByNumber" {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":null}`, q.ID)
			return
		}
		if err != nil || q.Method != "eth_chainId" {
			t.Errorf("asked for %q, %v", q.Method, err)
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x%x"}`, q.ID, chainID)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// load reads a configuration that is whole, with the given settings in place of its own.
func load(t *testing.T, chains []config.Chain, settings ...string) (config.Config, error) {
	t.Helper()
	return config.Load(config.Options{
		Process: config.ProcessCtl, Chains: chains,
		Environ: append([]string{"ENV=test", "MASTER_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
			"OPERATOR_TOKEN=operator-token-of-the-doctor-tests"}, settings...),
	})
}

func chain(name string, urls ...string) config.Chain {
	c := config.Chain{
		Name: name, ChainID: 1337, Finality: config.Finality{Depth: 3}, PollInterval: time.Second, BlockTime: time.Second,
		Native: config.Native{Symbol: "ETH", Decimals: 18},
	}
	for _, u := range urls {
		c.RPCURLs = append(c.RPCURLs, config.URL(u))
	}
	return c
}

// failed are the names of the checks that did not pass. Those have a hint, the others have none.
func failed(t *testing.T, r admin.Report) string {
	t.Helper()
	var names []string
	for _, c := range r.Checks {
		if c.OK != (c.Hint == "") || c.Detail == "" {
			t.Errorf("%+v", c)
		}
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	if r.OK != (names == nil) {
		t.Errorf("OK is %v, failed are %v", r.OK, names)
	}
	return strings.Join(names, ", ")
}

func TestExamineFindsAHealthyGatewayHealthy(t *testing.T) {
	dsn, redis := testkit.Postgres(t),
		testkit.Redis(t, testkit.RedisOptions{AppendOnly: true, Args: []string{"--maxmemory-policy", "noeviction"}})
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cfg, err := load(t, []config.Chain{chain("devnet", node(t, 1337), node(t, 1337))}, "DATABASE_URL="+dsn, "REDIS_URL="+
		redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := failed(t, admin.Examine(t.Context(), cfg, nil, time.Now)); got != "schema" {
		t.Fatalf("on an empty database: %q", got)
	}
	if v, err := s.SchemaStatus(t.Context()); err != nil || v.Version != 0 {
		t.Fatalf("the doctor migrated: %+v, %v", v, err)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := admin.Examine(t.Context(), cfg, nil, time.Now)
	if got := failed(t, r); got != "" || len(r.Checks) != 14 {
		t.Errorf("%q, %+v", got, r.Checks)
	}
	if text := fmt.Sprint(r.Checks); !strings.Contains(text, "nothing can be proven") ||
		strings.Contains(text, "can invent and hide") {
		t.Errorf("of what two providers can prove: %s", text)
	}
	cfg.Chains[0].RPCURLs = cfg.Chains[0].RPCURLs[:1]
	if text := fmt.Sprint(admin.Examine(t.Context(), cfg, nil, time.Now)); !strings.Contains(text, "can invent and hide") {
		t.Errorf("of what one provider can do: %s", text)
	}
	if n := redis.Do(t, "DBSIZE"); fmt.Sprint(n) != "0" {
		t.Errorf("the doctor wrote %v keys to Redis", n)
	}
	// A clock that is off is seen, whichever way.
	for _, off := range []time.Duration{time.Minute, -time.Minute} {
		if got := failed(t, admin.Examine(t.Context(), cfg, nil, func() time.Time {
			return time.Now().Add(off)
		})); got != "clock" {
			t.Errorf("%s off: %q", off, got)
		}
	}
}

func TestExamineNamesWhatIsWrong(t *testing.T) {
	redis := testkit.Redis(t, testkit.RedisOptions{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	cfg, err := load(t, []config.Chain{chain("wrong", node(t, 1)), chain2("gone", dead.URL+"/v2/api-key-of-the-provider")},
		"DATABASE_URL=postgres://ctrip:a-password@127.0.0.1:1/ctrip", "REDIS_URL="+redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := admin.Examine(t.Context(), cfg, nil, time.Now)
	if got := failed(t, r); got != "database, redis eviction, redis append-only file, chain wrong, chain gone" {
		t.Errorf("%q", got)
	}
	for _, secret := range []string{"a-password", "api-key-of-the-provider"} {
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, secret) {
			t.Errorf("the report shows %s: %s", secret, text)
		}
	}
	redis.Stop(t)
	if got := failed(t, admin.Examine(t.Context(), cfg, nil,
		time.Now)); got != "database, redis, chain wrong, chain gone" {
		t.Errorf("%q", got)
	}
}

// chain2 is a chain with another id, because two chains may not share one.
func chain2(name, url string) config.Chain {
	c := chain(name, url)
	c.ChainID = 1338
	return c
}

func TestExamineNamesEveryFaultOfTheConfiguration(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, loaded := config.Load(config.Options{Process: config.ProcessCtl,
		Environ: []string{"LOG_LEVEL=loud", "CHAINS_FILE=" + empty, "WALLET_MNEMONIC=x"}})
	r := admin.Examine(context.Background(), cfg, loaded, time.Now)
	text := fmt.Sprint(r.Checks)
	for _, name := range []string{"DATABASE_URL", "LOG_LEVEL", "chains", "WALLET_MNEMONIC"} {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not named: %s", name, text)
		}
	}
	failed(t, r)

	// What ctripctl itself can do without, the services cannot.
	cfg, loaded = config.Load(config.Options{Process: config.ProcessCtl,
		Environ: []string{"DATABASE_URL=postgres://127.0.0.1:1/x", "WEBHOOK_ALLOW=10.0.0.0/99"}})
	if loaded != nil && !strings.Contains(loaded.Error(), "WEBHOOK_ALLOW") {
		t.Fatal(loaded)
	}
	text = fmt.Sprint(admin.Examine(context.Background(), cfg, loaded, time.Now).Checks)
	if !strings.Contains(text, "WEBHOOK_ALLOW") {
		t.Errorf("%s", text)
	}
	if loaded == nil {
		for _, name := range []string{"MASTER_KEYS", "OPERATOR_TOKEN", "REDIS_URL", "CHAINS_FILE"} {
			if !strings.Contains(text, name) {
				t.Errorf("%s is not named: %s", name, text)
			}
		}
	}
}
