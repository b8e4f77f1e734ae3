package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// checkTimeout bounds everything that is asked of one dependency.
	checkTimeout = 10 * time.Second
	// oldestRedis is the first major version that the lanes are tested on.
	oldestRedis = 7
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"` // what to do, when it is not OK
}

// Report is all that was looked at.
type Report struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Examine looks at everything that the processes need and changes nothing. The configuration is what [config.Load]
// returned, its error included: where it could not be read there is nothing else to ask.
func Examine(ctx context.Context, cfg config.Config, loaded error, now func() time.Time) Report {
	checks := examineConfig(cfg, loaded)
	if loaded == nil {
		checks = append(checks, examineDatabase(ctx, cfg, now)...)
		checks = append(checks, examineRedis(ctx, cfg)...)
		checks = append(checks, examineChains(ctx, cfg, now)...)
	}
	return Report{OK: !slices.ContainsFunc(checks, func(c Check) bool { return !c.OK }), Checks: checks}
}

// services are the settings that the processes need beyond what ctripctl asks for.
var services = []string{"MASTER_KEYS", "OPERATOR_TOKEN", "REDIS_URL"}

func examineConfig(cfg config.Config, loaded error) []Check {
	var checks []Check
	problem := func(name, detail string) {
		checks = append(checks, Check{"config", false, name + ": " + detail, "docs/configuration.md, or `ctripctl config " +
			"reference`"})
	}
	each := func(err error) {
		var wrong *config.FieldErrors
		if errors.As(err, &wrong) {
			for _, one := range wrong.All {
				problem(one.Name, one.Problem)
			}
		} else if err != nil {
			problem("settings", err.Error())
		}
	}
	each(loaded)
	if loaded == nil {
		each(cfg.Need(services...))
		if _, err := egress.ParseAllow(cfg.Webhook.Allow); err != nil {
			problem("WEBHOOK_ALLOW", err.Error())
		}
		if len(cfg.Chains) == 0 {
			problem("CHAINS_FILE", "no chain is configured")
		}
	}
	if checks == nil {
		checks = append(checks, Check{Name: "config", OK: true,
			Detail: fmt.Sprintf("ENV=%s, %d chains", cfg.Env, len(cfg.Chains))})
	}
	for _, w := range cfg.Warnings {
		checks = append(checks, Check{Name: "config warning", OK: true, Detail: w})
	}
	return checks
}

func examineDatabase(ctx context.Context, cfg config.Config, now func() time.Time) []Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	where := cfg.Database.URL.String()
	cfg.Database.MaxOpen = 1
	db, err := wiring.Store(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return []Check{{"database", false, where + ": " + oneLine(err), "is Postgres running, and does DATABASE_URL say " +
			"the right host, user, password and sslmode?"}}
	}
	defer db.Close()
	checks := []Check{{Name: "database", OK: true, Detail: where}}
	switch pooling, err := db.CheckDriver(ctx); {
	case err != nil:
		checks = append(checks, Check{"pooler", false, oneLine(err), "no process starts like this; docs/postgres.md"})
	case pooling != store.Direct:
		checks = append(checks, Check{Name: "pooler", OK: true, Detail: string(pooling)})
	}

	schema := Check{Name: "schema", OK: true}
	st, err := db.SchemaStatus(ctx)
	if err == nil {
		err = db.CheckSchema(ctx)
	}
	if err != nil {
		schema = Check{"schema", false, oneLine(err), "run `ctripctl migrate up` with the newest ctripctl"}
	} else {
		schema.Detail = fmt.Sprintf("version %d, this binary needs %d", st.Version, st.Binary)
	}
	checks = append(checks, schema)
	if err == nil {
		if err := payments.CheckListed(ctx, db, cfg.Chains); err != nil {
			checks = append(checks, Check{"chains file", false, oneLine(err), "no API and no scanner starts without it"})
		}
		checks = append(checks, examineIdentity(ctx, db))
		checks = append(checks, examineProcesses(ctx, db)...)
	}

	before := now()
	theirs, err := db.Now(ctx)
	if err != nil {
		return append(checks, Check{"clock", false, oneLine(err), "the database did not tell its time"})
	}
	skew := theirs.Sub(before.Add(now().Sub(before) / 2))
	clock := Check{Name: "clock", OK: skew.Abs() <= cfg.MaxClockSkew,
		Detail: fmt.Sprintf("the database's differs by %s", skew.Round(time.Millisecond))}
	if !clock.OK {
		clock.Hint = fmt.Sprintf("keep both machines on NTP: above MAX_CLOCK_SKEW (%s) no process is ready", cfg.MaxClockSkew)
	}
	return append(checks, clock)
}

// examineIdentity tells a database that was restored, or whose counters had to move on.
func examineIdentity(ctx context.Context, db *store.Store) Check {
	const name, mayRead = "database identity", "may the user read its own tables?"
	change, err := db.IdentityChange(ctx)
	if err != nil {
		return Check{name, false, oneLine(err), mayRead}
	}
	stored, err := db.Identity(ctx)
	switch {
	case err != nil && !errors.Is(err, models.ErrNotFound):
		return Check{name, false, oneLine(err), mayRead}
	case stored.Unfinished || change == store.ChangeRestored:
		return Check{name, false, "restored from a backup and not prepared: POST /payments is refused",
			"stop the processes, run `ctripctl restore check` and `ctripctl restore prepare`: docs/going-live.md"}
	case change != "":
		return Check{Name: name, OK: true,
			Detail: change + ": counters of addresses move on by 10,000 when a process starts"}
	case stored.ChangedAt != nil:
		return Check{Name: name, OK: true, Detail: fmt.Sprintf("%s, noticed %s: counters of addresses moved on by 10,000, "+
			"so a wallet that looks only 20 addresses ahead has to be told to look further", stored.Change,
			stored.ChangedAt.UTC().Format(time.RFC3339))}
	}
	return Check{Name: name, OK: true, Detail: "as it was"}
}

func examineRedis(ctx context.Context, cfg config.Config) []Check {
	if cfg.Need("REDIS_URL") != nil {
		return nil // examineConfig says so
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	where := cfg.Redis.Server.String()
	hint := "is Redis running, and does REDIS_URL say the right host and password?"
	unreachable := func(err error) []Check {
		return []Check{{"redis", false, where + ": " + oneLine(err), hint}}
	}
	cfg.Redis.PoolSize = 1
	r, err := wiring.Redis(cfg)
	if err != nil {
		return unreachable(err)
	}
	defer r.Close()
	if err := r.Ping(ctx); err != nil {
		hint = cmp.Or(r.Explain(err), hint)
		return unreachable(err)
	}
	checks := []Check{{Name: "redis", OK: true, Detail: where}}
	client, err := wiring.Jobs(cfg, r, time.Now)
	if err != nil {
		return unreachable(err)
	}
	rights, err := client.Rights(ctx)
	if err != nil {
		return append(checks, Check{"redis rights", false, oneLine(err), "Redis answered, and then no more"})
	}
	checks = append(checks, judgeRights(rights))
	s, err := r.Inspect(ctx)
	switch {
	case errors.Is(err, jobs.ErrDenied):
		return append(checks, Check{Name: "redis settings", OK: true, Detail: "INFO is denied to this user: make sure " +
			"that it is Redis 7 or later, with maxmemory-policy noeviction and appendonly yes"})
	case err != nil:
		return append(checks, Check{"redis settings", false, oneLine(err), "Redis answered, and then no more"})
	}
	return append(checks, judgeRedis(s)...)
}

func judgeRights(r jobs.Rights) Check {
	if err := r.Err(); err != nil {
		return Check{"redis rights", false, oneLine(err),
			"docs/redis.md: without this deliveries are found late or not at all"}
	}
	detail := "every key, channel and command"
	if len(r.Missing) > 0 {
		detail += " that is needed; " + strings.Join(r.Missing, "; ")
	}
	return Check{Name: "redis rights", OK: true, Detail: detail}
}

// judgeRedis holds the settings of a Redis against what a queue needs.
func judgeRedis(s jobs.Settings) []Check {
	or := func(v string) string {
		if v == "" {
			return "not told"
		}
		return v
	}
	checks := []Check{
		{Name: "redis version", OK: s.Version == "" || major(s.Version) >= oldestRedis, Detail: or(s.Version)},
		{Name: "redis eviction", OK: s.EvictionPolicy == "" || s.EvictionPolicy == "noeviction",
			Detail: "maxmemory-policy " + or(s.EvictionPolicy)},
		{Name: "redis append-only file", OK: s.AppendOnly, Detail: "appendonly " +
			map[bool]string{true: "yes", false: "no"}[s.AppendOnly]},
	}
	for i, hint := range []string{
		fmt.Sprintf("run Redis %d or later", oldestRedis),
		"set maxmemory-policy to noeviction: an evicted key is a lost task, and waits for the sweeper",
		"set appendonly to yes: without it every restart of Redis empties the queues until the sweeper has filled them again",
	} {
		if !checks[i].OK {
			checks[i].Hint = hint
		}
	}
	return checks
}

func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

func examineChains(ctx context.Context, cfg config.Config, now func() time.Time) []Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var checks []Check
	for _, c := range cfg.Chains {
		name := "chain " + c.Name
		pool, err := wiring.Chain(c, now, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			checks = append(checks, Check{name, false, oneLine(err), "correct rpc_urls in CHAINS_FILE"})
			continue
		}
		answers := pool.ChainIDs(ctx)
		well := true
		for _, host := range slices.Sorted(maps.Keys(answers)) {
			checks = append(checks, judgeProvider(name, host, c.ChainID, answers[host]))
			well = well && answers[host] == nil
		}
		if well {
			checks = append(checks, judgeProofs(name, c, pool.Proofs(ctx)))
		}
		pool.Close()
	}
	return checks
}

// judgeProofs says what of the chain's blocks can be held against their hashes, and what a single provider can do.
func judgeProofs(name string, c config.Chain, parts evm.ProofParts) Check {
	detail := "proofs (" + c.Proofs + "): " + operate.ProofText(parts)
	if len(c.RPCURLs) == 1 {
		detail += "; this provider can invent and hide: its answers are held against each other and against nobody else's"
	}
	return Check{Name: name, OK: true, Detail: detail}
}

func judgeProvider(name, host string, chainID uint64, err error) Check {
	switch {
	case err == nil:
		return Check{Name: name, OK: true, Detail: fmt.Sprintf("%s: chain id %d", host, chainID)}
	case errors.Is(err, evm.ErrWrongChain):
		return Check{name, false, host + ": " + oneLine(err),
			"chain_id or this URL in rpc_urls is wrong in CHAINS_FILE: nothing is read from this provider"}
	}
	return Check{name, false, host + ": " + oneLine(err),
		"does the node answer from here, and is the API key in its URL still good?"}
}

// oneLine keeps a table a table.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
