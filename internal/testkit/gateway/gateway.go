package gateway

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// OperatorToken opens the operator routes and the guarded ops pages of every gateway.
const OperatorToken = "operator-token-of-the-end-to-end-tests"

// MasterKeys is the MASTER_KEYS of every gateway.
const MasterKeys = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// Chain is the one chain that a gateway knows.
type Chain struct {
	Name, RPC string
	// Spare are providers after RPC.
	Spare   []string
	ChainID int
	// Token is the contract of a token named DEMO with 18 decimals, "" for none.
	Token string
	// Depth is the finality depth, 0 meaning 2, and Tag the finality tag, "" for none.
	Depth int
	Tag   string
	// PollInterval is how often the head is asked for, "" meaning 200ms.
	PollInterval string
	// StartBlock is the first block to scan, 0 for the head, and Rate the calls a second of a provider, 0 for no limit.
	StartBlock uint64
	Rate       int
	// Proofs is how much is held against the hashes of blocks: all, hits or off; "" for the default.
	Proofs string
}

// Options say what a gateway is like. The zero value has a durable Postgres and an append-only Redis of its own, and a
// chain that no node serves, which is enough for deliveries.
type Options struct {
	Chain Chain
	// DatabaseURL is an empty database to use instead of a private Postgres with fsync on.
	DatabaseURL string
	// Postgres are further settings of the private instance.
	Postgres map[string]string
	// RedisURL is a Redis, or several, to use instead of a private one; Env holds what else is needed to reach it.
	RedisURL string
	// Programs is a directory with other binaries than those of this tree; "" means those.
	Programs string
	// Env are further settings, NAME=value, of every process; they win over the usual ones.
	Env []string
}

// Gateway is a gateway of processes.
type Gateway struct {
	// APIURL is where the process named api listens.
	APIURL string
	// DatabaseURL and DB lead straight to the database, whatever stands in front of it for a process.
	DatabaseURL string
	DB          *sql.DB
	// Postgres is the private instance, nil where Options.DatabaseURL was given.
	Postgres *testkit.PostgresServer
	// Redis is the private server, nil where Options.RedisURL was given.
	Redis *testkit.RedisServer
	// Chain is the chain's name.
	Chain string
	// Client makes the calls of [Gateway.Call].
	Client *http.Client

	t    testkit.TB
	dir  string
	bin  string // of other binaries than this tree's
	env  []string
	mu   sync.Mutex
	proc map[string]*proc
}

// New starts the servers and migrates the database. No process of the gateway runs yet.
func New(t testkit.TB, o Options) *Gateway {
	t.Helper()
	if o.Chain.Name == "" {
		o.Chain = Chain{Name: "none", RPC: "http://127.0.0.1:1", ChainID: 1337}
	}
	g := &Gateway{t: t, dir: t.TempDir(), bin: o.Programs, DatabaseURL: o.DatabaseURL, Chain: o.Chain.Name,
		proc: make(map[string]*proc), Client: &http.Client{Timeout: 15 * time.Second}}
	g.binary("ctripctl")
	if g.DatabaseURL == "" {
		g.Postgres = testkit.PrivatePostgres(t, testkit.PostgresOptions{Durable: true, Settings: o.Postgres})
		dsn, err := g.Postgres.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g.DatabaseURL = dsn
	}
	if o.RedisURL == "" {
		g.Redis = testkit.Redis(t, testkit.RedisOptions{AppendOnly: true})
		o.RedisURL = g.Redis.URL
	}
	var err error
	if g.DB, err = sql.Open("pgx", g.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.DB.Close(); err != nil {
			t.Error(err)
		}
	})
	chains := filepath.Join(g.dir, "chains.yaml")
	if err := os.WriteFile(chains, []byte(o.Chain.yaml()), 0o600); err != nil {
		t.Fatal(err)
	}
	api := testkit.FreeAddr(t)
	g.APIURL = "http://" + api
	g.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "ENV=test", "DATABASE_URL=" + g.DatabaseURL, "REDIS_URL=" + o.RedisURL,
		"CHAINS_FILE=" + chains, "PUBLIC_URL=" + g.APIURL, "API_ADDR=" + api, "MASTER_KEYS=" + MasterKeys,
		"OPERATOR_TOKEN=" + OperatorToken, "WEBHOOK_ALLOW=127.0.0.0/8",
	}, o.Env...)
	g.Ctl("migrate", "up")
	t.Cleanup(g.StopAll)
	return g
}

func (c Chain) yaml() string {
	if c.Depth == 0 {
		c.Depth = 2
	}
	if c.PollInterval == "" {
		c.PollInterval = "200ms"
	}
	finality := fmt.Sprintf("{depth: %d}", c.Depth)
	if c.Tag != "" {
		finality = fmt.Sprintf("{tag: %s, depth: %d}", c.Tag, c.Depth)
	}
	tokens := ""
	if c.Token != "" {
		tokens = fmt.Sprintf("\n  tokens: [{symbol: DEMO, contract: %q, decimals: 18}]", c.Token)
	}
	urls := make([]string, 0, 1+len(c.Spare))
	for _, u := range append([]string{c.RPC}, c.Spare...) {
		urls = append(urls, fmt.Sprintf("%q", u))
	}
	more := ""
	if c.StartBlock > 0 {
		more += fmt.Sprintf("\n  start_block: %d", c.StartBlock)
	}
	if c.Rate > 0 {
		more += fmt.Sprintf("\n  rpc_rate: %d", c.Rate)
	}
	if c.Proofs != "" {
		more += "\n  proofs: " + c.Proofs
	}
	return fmt.Sprintf("- name: %s\n  chain_id: %d\n  rpc_urls: [%s]\n  finality: %s\n  poll_interval: %s\n  "+
		"block_time: 1s\n  test: true%s%s\n",
		c.Name, c.ChainID, strings.Join(urls, ", "), finality, c.PollInterval, tokens, more)
}

// Ctl runs ctripctl and returns what it printed.
func (g *Gateway) Ctl(args ...string) []byte {
	g.t.Helper()
	out, err := g.TryCtl(args...)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// TryCtl is Ctl for what may be refused.
func (g *Gateway) TryCtl(args ...string) ([]byte, error) { return g.TryCtlWith(nil, args...) }

// TryCtlWith is TryCtl with further settings, NAME=value, which win over the usual ones.
func (g *Gateway) TryCtlWith(env []string, args ...string) ([]byte, error) {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), g.binary("ctripctl"), args...)
	cmd.Env = slices.Concat(g.env, env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ctripctl %s: %w\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return out, nil
}

// WaitScanned waits until a scanner has recorded a block.
func (g *Gateway) WaitScanned() {
	g.t.Helper()
	testkit.Eventually(g.t, time.Minute, "a block is recorded", func() bool {
		var n int
		err := g.DB.QueryRow("SELECT count(*) FROM chain_cursors").Scan(&n)
		return err == nil && n > 0
	})
}
