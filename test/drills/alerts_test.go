package drills

import (
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/models"
)

var thousand = big.NewInt(1000)

// fault is something that goes wrong and is repaired.
type fault struct {
	name string
	do   func(*drill)
}

// Faults of one line follow each other; the lines happen at the same time, because some thresholds are minutes that no
// scale divides, and because these faults do not disturb each other.
var beside = [][]fault{
	{{"signatures", (*drill).signaturesRejected}, {"dead", (*drill).blockedAndDead},
		{"unannounced", (*drill).unannounced}},
	{{"keys", (*drill).keysGuessed}, {"connections", (*drill).connections}, {"database-pool", (*drill).databasePool},
		{"redis-pool", (*drill).redisPool}, {"secret", (*drill).secret}},
	{{"lies", (*drill).providersLie}, {"quarantine", (*drill).quarantine}, {"lag", (*drill).lag},
		{"balances", (*drill).balances}},
	{{"final", (*drill).notFinal}, {"silence", (*drill).silence}},
	{{"read-only", (*drill).readOnly}},
}

// after are the faults that leave nothing else in peace.
var after = []fault{
	{"lanes", (*drill).lanes}, {"pause", (*drill).pausedOnPurpose}, {"audit", (*drill).audit},
	{"redis", (*drill).redisAway}, {"processes", (*drill).processesDead},
}

// TestAlerts makes every fault that there is an alert for, and repairs it. DRILL names some of them, comma-separated,
// and leaves out the others.
func TestAlerts(t *testing.T) {
	chosen := strings.FieldsFunc(os.Getenv("DRILL"), func(r rune) bool { return r == ',' })
	d := newDrill(t)
	do := func(fs []fault) {
		for _, f := range fs {
			if len(chosen) == 0 || slices.Contains(chosen, f.name) {
				f.do(d)
			}
		}
	}
	var lines sync.WaitGroup
	for _, line := range beside {
		lines.Go(func() { do(line) })
	}
	lines.Wait()
	do(after)
	if len(chosen) == 0 {
		d.table()
	}
}

// signaturesRejected: eight receivers have another secret than we sign with.
func (d *drill) signaturesRejected() {
	d.rejecting.Store(true)
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				d.create(d.shop)
			}
		}
	})
	const fault = "eight receivers answer 401"
	d.fires(fault, "WebhookSignaturesRejected", 0)
	d.fires(fault, "WebhooksFail", 0)
	d.fires(fault, "EndpointsRejectSignatures", 0)
	d.fires(fault+", so that their breakers open", "BreakersOpen", 0)
	d.rejecting.Store(false)
	d.clears("WebhookSignaturesRejected", "BreakersOpen")
	d.clears("WebhooksFail")
	close(stop)
	traffic.Wait()
	// Ids tell the time: these are old ones now.
	d.exec("UPDATE attempts SET id = substr(id, 1, 4) || '00' || substr(id, 7) WHERE class = 'auth_rejected'")
	d.clears("EndpointsRejectSignatures")
}

// blockedAndDead: the URL of an endpoint leads inside.
func (d *drill) blockedAndDead() {
	e := d.ends[0].ID
	was := d.text("SELECT url FROM webhook_endpoints WHERE id = $1", e)
	d.exec("UPDATE webhook_endpoints SET url = 'http://10.0.0.1/', version = version + 1 WHERE id = $1", e)
	d.create(d.shop)
	d.fires("an endpoint leads to 10.0.0.1", "WebhooksBlocked", 0)
	d.fires("its delivery is dead", "WebhooksDie", 0)
	d.exec("UPDATE webhook_endpoints SET url = $2, version = version + 1 WHERE id = $1", e, was)
	d.Ctl("replay", "start", e, "--state", "dead")
	d.clears("WebhooksBlocked", "WebhooksDie")
}

// unannounced: a payment was confirmed an hour ago, and the shop's receiver answers 500.
func (d *drill) unannounced() {
	d.deaf.Store(true)
	d.confirmed()
	d.exec("UPDATE deliveries SET created_at = now() - interval '2 hours' WHERE event_type = 'payment.confirmed'")
	d.fires("the receiver answers 500 for an hour", "PaymentsUnannounced", 0)
	d.deaf.Store(false)
	d.clears("PaymentsUnannounced")
}

// confirmed pays a payment of the other merchant and waits until it is confirmed.
func (d *drill) confirmed() {
	p := d.create(d.other)
	d.pay(p.Address)
	d.waitSQL("a payment is confirmed", "SELECT count(*) FROM payments WHERE id = $1 AND status = 'confirmed'", p.ID)
}

func (d *drill) keysGuessed() {
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} { // one address alone is held back
		many(20, from, func(*http.Client) (*http.Request, error) {
			req, err := http.NewRequest(http.MethodPost, d.APIURL+"/portal/sign-in",
				strings.NewReader(url.Values{"key": {"ck_live_guess"}}.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", d.APIURL)
			return req, err
		})
	}
	d.fires("two addresses try 40 keys at the portal", "PortalKeysGuessed", 0)
	many(200, "127.0.0.4", func(*http.Client) (*http.Request, error) {
		req, err := http.NewRequest(http.MethodGet, d.APIURL+"/api/v1/payments", nil)
		req.Header.Set("Authorization", "Bearer ck_live_guess")
		return req, err
	})
	d.fires("200 requests with a key that is none", "ApiKeysGuessed", 0)
	d.clears("PortalKeysGuessed", "ApiKeysGuessed")
}

func (d *drill) connections() {
	var held []net.Conn
	addr := strings.TrimPrefix(d.apiURL("api-narrow"), "http://")
	for range 60 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			d.t.Error(err)
			continue
		}
		held = append(held, c)
	}
	d.fires("60 connections to an API that holds 40", "ConnectionsRefused", 0)
	for _, c := range held {
		c.Close()
	}
	d.clears("ConnectionsRefused")
}

// databasePool: somebody locks a table again and again, and the callers of three merchants, each of whom may use two
// connections, share two.
func (d *drill) databasePool() {
	narrow, stop := d.apiURL("api-narrow"), make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			tx, err := d.DB.Begin()
			if err != nil {
				d.t.Error(err)
				return
			}
			_, err = tx.Exec("LOCK TABLE replays IN ACCESS EXCLUSIVE MODE")
			time.Sleep(600 * time.Millisecond)
			if err != nil || tx.Rollback() != nil {
				d.t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	keys := []string{d.shop.Key, d.other.Key, d.NewMerchant().Key}
	for i := range 12 {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					id := models.NewID(models.PrefixReplay, time.Now())
					many(1, "127.0.0.1", getAs(keys[i%3], narrow+"/api/v1/replays/"+id))
				}
			}
		})
	}
	d.fires("a lock is held, and three merchants share two connections", "DatabasePoolShort", 0)
	close(stop)
	busy.Wait()
	d.clears("DatabasePoolShort")
}

func (d *drill) get(url string) func(*http.Client) (*http.Request, error) {
	return getAs(d.shop.Key, url)
}

func getAs(key, url string) func(*http.Client) (*http.Request, error) {
	return func(*http.Client) (*http.Request, error) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		req.Header.Set("Authorization", "Bearer "+key)
		return req, err
	}
}

// redisPool: Redis answers nothing, and the callers share one connection.
func (d *drill) redisPool() {
	narrow := d.apiURL("api-narrow")
	many(4, "127.0.0.1", d.get(narrow+"/api/v1/payments")) // connections are there
	d.proxy.held.Store(true)
	firing := func() bool { return len(d.firing("RedisPoolShort", "")) > 0 }
	for began := time.Now(); !firing() && time.Since(began) < patience; {
		many(16, "127.0.0.1", d.get(narrow+"/api/v1/payments"))
	}
	d.fires("Redis hangs, and all callers share one connection", "RedisPoolShort", 0)
	d.proxy.held.Store(false)
	d.clears("RedisPoolShort")
}

func (d *drill) secret() {
	e := d.end.ID
	d.exec("UPDATE endpoint_secrets SET active_from = now() - interval '200 days' WHERE endpoint_id = $1", e)
	d.fires("a secret is 200 days old", "SecretOld", 0)
	d.Ctl("endpoint", "rotate-secret", e, "--overlap", "0s")
	d.clears("SecretOld")
}

const elsewhere = "0x00000000000000000000000000000000000000aa"

// providersLie: the first provider tells of money for a payment that went elsewhere.
func (d *drill) providersLie() {
	p := d.create(d.other)
	d.trouble.lies.Store(&[2]string{elsewhere, p.Address})
	d.pay(elsewhere)
	d.fires("a provider invents a transfer", "ProvidersDisagree", 0)
	d.fires("and nobody else says so", "PaymentsDoubted", 0)
	d.trouble.lies.Store(nil)
	id := d.text("SELECT id FROM doubts WHERE status = 'open' ORDER BY created_at LIMIT 1")
	if out, err := d.TryCtl("doubt", "reject", id, "--reason", "drill"); err != nil &&
		d.text("SELECT status FROM doubts WHERE id = $1", id) == "open" {
		d.t.Errorf("%v %s", err, out)
	}
	d.clears("ProvidersDisagree", "PaymentsDoubted")
}

// quarantine: an event of a payment cannot be made.
func (d *drill) quarantine() {
	p := d.create(d.other)
	d.exec("UPDATE payments SET sequence = -9 WHERE id = $1", p.ID)
	d.pay(p.Address)
	d.fires("a payment whose event cannot be made", "PaymentsQuarantined", 0)
	d.exec("UPDATE payments SET sequence = 1 WHERE id = $1", p.ID)
	d.Ctl("quarantine", "retry")
	d.clears("PaymentsQuarantined")
}

// lag: the providers limit us to their head.
func (d *drill) lag() {
	d.trouble.blocksGone.Store(true)
	d.mine(d.chain, 60)
	d.fires("the providers answer 429 for blocks", "ChainLags", 0)
	d.trouble.blocksGone.Store(false)
	d.clears("ChainLags")
}

// balances: the providers have pruned the state of their newest blocks.
func (d *drill) balances() {
	amount := "1000"
	if got := d.Call(d.other.Key, http.MethodPost, "/api/v1/payments", "", map[string]string{"chain": living,
		"asset": "native", "amount": amount}, nil); got != http.StatusCreated {
		d.t.Errorf("a payment was answered %d", got)
	}
	d.trouble.noBalances.Store(true)
	d.fires("the providers have no state", "BalancesUnread", 0)
	d.trouble.noBalances.Store(false)
	d.clears("BalancesUnread")
}

// notFinal: the newest final block is two hours older than the newest one.
func (d *drill) notFinal() {
	d.waitSQL("the quiet chain is scanned", "SELECT count(*) FROM chain_cursors WHERE chain_id = $1 AND number >= 14",
		quietID)
	const move = `UPDATE blocks SET time = time %s interval '2 hours' WHERE chain_id = $1 AND number =
		(SELECT final_number FROM chain_cursors WHERE chain_id = $1)`
	d.exec(fmt.Sprintf(move, "-"), quietID)
	d.fires("nothing has become final for two hours", "ChainNotFinal", 0)
	d.exec(fmt.Sprintf(move, "+"), quietID)
	d.clears("ChainNotFinal")
}

// silence: one chain has no new block, and of the other every provider is away since the gateway started. Then the
// first one goes back on what was final.
func (d *drill) silence() {
	const long = 2 * time.Minute
	d.fires("a chain has no new block", "ChainStandsStill@"+quiet, long)
	d.fires("every provider is away since the start", "ChainUnseen@"+dark, long)
	d.fires("every provider is away since the start", "ChainStandsStill@"+dark, long)
	d.trouble.away.Store(false)
	d.waitSQL("the dark chain is scanned", "SELECT count(*) FROM chain_cursors WHERE chain_id = $1", darkID)
	d.mine(d.still, 2)
	d.clears("ChainStandsStill", "ChainUnseen")
	if _, err := d.still.Reorg(10); err != nil {
		d.t.Error(err)
	}
	d.fires("a chain changes ten blocks below its final point of three", "ChainHalted@"+quiet, 0)
	for _, name := range []string{quiet, dark} { // they are one
		if d.text("SELECT halt_reason FROM chain_cursors WHERE chain = $1", name) != "" {
			d.Ctl("chain", "accept", name)
		}
	}
	d.clears("ChainHalted")
}

// readOnly: the database takes no writes from one process, as after a failover that leaves it on the old primary.
func (d *drill) readOnly() {
	const drop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stuck'"
	d.exec("ALTER ROLE stuck SET default_transaction_read_only = on")
	d.exec(drop)
	stuck, stop := d.apiURL("api-stuck"), make(chan struct{})
	var asks sync.WaitGroup
	asks.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
				many(1, "127.0.0.1", func(*http.Client) (*http.Request, error) {
					req, err := http.NewRequest(http.MethodPost, stuck+"/api/v1/payments",
						strings.NewReader(`{"chain":"`+living+`","asset":"DEMO","amount":"1000"}`))
					req.Header.Set("Authorization", "Bearer "+d.other.Key)
					req.Header.Set("Content-Type", "application/json")
					return req, err
				})
			}
		}
	})
	d.fires("payments are asked for while Postgres is read-only", "ApiFails", 0)
	d.fires("Postgres is read-only for a process", "RecordUnwritable", time.Minute)
	d.exec("ALTER ROLE stuck RESET default_transaction_read_only")
	d.exec(drop)
	d.clears("RecordUnwritable", "ApiFails")
	close(stop)
	asks.Wait()
}

// lanes: the lanes are paused by hand while tasks wait in them, and a lease belongs to nobody.
func (d *drill) lanes() {
	began := time.Now()
	d.queues(":pause")
	d.create(d.other)
	d.until(patience, "a task is old", func() bool { return d.ageTasks() > 0 })
	d.fires("the lanes are paused in asynqmon", "LaneLate", 0)
	for began := time.Now(); len(d.firing("LeasesExpired", "")) == 0 && time.Since(began) < patience; {
		late := time.Now().Add(-5 * time.Second).Unix() // the sweeper clears away what is ten seconds late
		d.Redis.Do(d.t, "ZADD", "asynq:{wh:0}:lease", fmt.Sprint(late), "of-a-slow-worker")
		time.Sleep(500 * time.Millisecond)
	}
	d.fires("a worker extends its leases too late", "LeasesExpired", 0)
	d.Redis.Do(d.t, "ZREM", "asynq:{wh:0}:lease", "of-a-slow-worker")
	d.queues(":resume")
	d.clears("LaneLate", "LeasesExpired")
	if fired := d.criticalSince(began); len(fired) > 0 {
		d.t.Errorf("paused lanes woke somebody: %v", fired)
	}
}

func (d *drill) queues(action string) {
	d.t.Helper()
	for _, q := range []string{"wh:0", "wh:1"} {
		req, err := http.NewRequest(http.MethodPost, d.OpsURL("api")+"/queues/api/queues/"+q+action, nil)
		if err != nil {
			d.t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+gateway.OperatorToken)
		res, err := d.Client.Do(req)
		if err != nil || res.StatusCode/100 != 2 {
			d.t.Errorf("%s%s: %v %v", q, action, res, err)
			continue
		}
		res.Body.Close()
	}
}

// ageTasks makes the tasks that wait in the lanes two minutes older and returns how many there are.
func (d *drill) ageTasks() (n int) {
	for _, q := range []string{"wh:0", "wh:1"} {
		ids, _ := d.Redis.Do(d.t, "LRANGE", "asynq:{"+q+"}:pending", "0", "-1").([]any)
		for _, id := range ids {
			key := "asynq:{" + q + "}:t:" + id.(string)
			since := time.Now().Add(-2 * time.Minute).UnixNano()
			d.Redis.Do(d.t, "HSET", key, "pending_since", fmt.Sprint(since))
			n++
		}
	}
	return n
}

// pausedOnPurpose: what an operator has paused wakes nobody, however long it lasts.
func (d *drill) pausedOnPurpose() {
	began := time.Now()
	d.Ctl("deliveries", "pause", "--reason", "drill")
	d.until(patience, "the worker has heard of the pause", func() bool {
		d.create(d.other)
		time.Sleep(500 * time.Millisecond)
		return d.text("SELECT count(*)::text FROM deliveries WHERE state = 'pending' AND parked") != "0"
	})
	d.confirmed()
	d.waitSQL("the delivery is suspended", `SELECT count(*) FROM deliveries WHERE event_type = 'payment.confirmed'
		AND state = 'pending' AND parked`)
	d.exec("UPDATE deliveries SET created_at = now() - interval '2 hours' WHERE state = 'pending'")
	time.Sleep(10 * time.Second) // twice as long as the longest wait of a critical alert
	if fired := d.criticalSince(began); len(fired) > 0 {
		d.t.Errorf("a deliberate pause woke somebody: %v", fired)
	}
	d.Ctl("deliveries", "resume")
	d.waitSQL("everything has left",
		"SELECT CASE WHEN count(*) = 0 THEN 1 ELSE 0 END FROM deliveries WHERE state = 'pending'")
}

// audit: somebody with the rights of the owner takes a line away.
func (d *drill) audit() {
	head := "SELECT coalesce(max(seq), 0)::text || ' ' || count(*) FROM audit_log"
	for last := ""; last != d.text(head); { // nobody writes lines any more, and the watch has read them all
		last = d.text(head)
		time.Sleep(3 * time.Second)
	}
	d.exec("ALTER TABLE audit_log DISABLE TRIGGER ALL")
	d.exec("CREATE TABLE drill_line AS SELECT * FROM audit_log ORDER BY seq DESC LIMIT 1")
	d.exec("DELETE FROM audit_log WHERE seq = (SELECT seq FROM drill_line)")
	d.fires("the newest line of the audit log is gone", "AuditBroken", 0)
	d.exec("INSERT INTO audit_log SELECT * FROM drill_line")
	d.clears("AuditBroken")
	d.exec("ALTER TABLE audit_log ENABLE TRIGGER ALL")
}

// redisAway: Redis is killed while deliveries are due.
func (d *drill) redisAway() {
	d.Redis.Kill(d.t)
	p := d.create(d.other)
	d.waitSQL("a delivery waits", "SELECT count(*) FROM deliveries WHERE payment_id = $1 AND state = 'pending'", p.ID)
	d.exec("UPDATE deliveries SET next_attempt_at = next_attempt_at - interval '10 minutes' WHERE payment_id = $1", p.ID)
	d.fires("Redis is killed", "RedisAway", 0)
	d.fires("and a delivery has been due for ten minutes", "WebhooksLate", 0)
	d.Redis.Start(d.t)
	d.clears("RedisAway", "WebhooksLate")
}

// processesDead: all of a kind are killed.
func (d *drill) processesDead() {
	for _, name := range []string{"api", "api-stuck", "api-narrow", "worker", "scanner"} {
		d.Kill(name)
	}
	for _, name := range []string{"NoWorker", "NoScanner", "NoApi"} {
		d.fires("all of them are killed", name, 0)
	}
	for _, name := range []string{"api", "api-stuck", "api-narrow", "worker", "scanner"} {
		d.Restart(name)
	}
	d.clears("NoWorker", "NoScanner", "NoApi")
}
