package money

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// patience is how long the end of a run waits for the record.
const (
	patience     = 90 * time.Second
	patienceEach = 100 * time.Millisecond // more for each payment
)

// scanners are the processes that follow the chain; one leads.
var scanners = []string{"scanner", "scanner-2"}

// harness is a gateway with a chain and its two providers.
type harness struct {
	*gateway.Gateway
	t         testkit.TB
	plan      Plan
	chain     *devnet.Chain
	book      *book
	node      *provider // without a trouble; the gateway does not know it
	providers []*provider
	customer  *customer
	makers    *makers
	down      map[string]time.Time // scanners that were killed, and when they start again
	kills     int
}

// Run does what a plan says, prints the report and returns the verdict.
func Run(t testkit.TB, p Plan, out io.Writer) Verdict {
	t.Helper()
	began := time.Now()
	w := newHarness(t, p)
	t.Logf("seed %d: %d payments, %d steps, traces %t", p.Seed, p.Payments, len(p.Steps), p.Traces)
	for i, s := range p.Steps {
		w.step(s)
		if t.Context().Err() != nil {
			return Verdict{Problems: []string{"the run was interrupted"}}
		}
		if i%10 == 9 {
			t.Logf("%d of %d steps, block %d, %d payments made", i+1, len(p.Steps), w.chain.Head().Number, w.makers.Made())
		}
	}
	w.settle()
	v := Judge(w.cases())
	if n := w.makers.Made(); n != p.Payments {
		v.problem("%d of %d payments were made", n, p.Payments)
	}
	fmt.Fprintf(out, "\nseed %d, %d payments, %d blocks, %d steps, %d kills, %s\n", p.Seed, p.Payments,
		w.chain.Head().Number, len(p.Steps), w.kills, time.Since(began).Round(time.Second))
	fmt.Fprintf(out, "transfers: %s\ndoubts: %s\nevents: %s\n", w.count("transfers", "source"), w.count("doubts",
		"kind || ' ' || status"), w.count("events", "type"))
	w.saveLogs(testkit.Setting("CHAOS_LOGS"))
	for i, problem := range v.Problems {
		if i == 50 {
			fmt.Fprintf(out, "and %d more\n", len(v.Problems)-i)
			break
		}
		fmt.Fprintf(out, "FAULT: %s\n", problem)
	}
	return v
}

func newHarness(t testkit.TB, p Plan) *harness {
	t.Helper()
	c, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &harness{t: t, plan: p, chain: c, book: newBook(), down: make(map[string]time.Time)}
	w.node = newProvider(t, c, w.book, false)
	w.providers = []*provider{newProvider(t, c, w.book, p.Traces), newProvider(t, c, w.book, false)}
	w.customer = newCustomer(t, c, w.book, w.node)
	w.Gateway = gateway.New(t, gateway.Options{
		Chain: gateway.Chain{Name: "geth", RPC: w.providers[0].url, Spare: []string{w.providers[1].url},
			ChainID: devnet.ChainID, Token: c.Token(), Tag: "finalized", Depth: finalDepth, PollInterval: "100ms"},
		Env: []string{"LOG_LEVEL=info", "API_RATE=1000000", "API_BURST=1000000", "MAX_OPEN_PAYMENTS=1000000"},
	})
	for _, name := range append([]string{"api"}, scanners...) {
		w.Start(name)
	}
	w.WaitReady("api")
	w.WaitScanned()
	w.mine(finalDepth) // a reorganisation below the first block of the record halts the chain
	w.makers = newMakers(w, w.NewMerchant())
	return w
}

// step lets one provider have a trouble for some blocks.
func (w *harness) step(s Step) {
	w.t.Helper()
	p := w.providers[s.Provider]
	w.makers.Order(s.Payments)
	victim := w.makers.Victim()
	p.get(s.Trouble, victim)
	if s.Trouble.Lies() {
		w.tempt(victim)
	}
	for n := range s.Blocks {
		if w.t.Context().Err() != nil {
			break
		}
		began := time.Now()
		if s.Kill && n == 1 {
			w.kill()
		}
		w.customer.pay(w.makers.Ready())
		if s.Depth > 0 && n == s.ReorgAt {
			if err := w.customer.reorg(s.Depth, s.Drop); err != nil {
				w.t.Fatal(err)
			}
		} else if _, err := w.chain.Mine(); err != nil {
			w.t.Fatal(err)
		}
		w.supervise()
		time.Sleep(w.plan.Block - time.Since(began))
	}
	p.get("", lie{})
}

// tempt pays a stranger what a liar can say that the victim was paid.
func (w *harness) tempt(l lie) {
	w.t.Helper()
	w.customer.token(decoy, l.amount)
	w.customer.send(decoy, "0x", l.amount)
}

// kill ends a scanner by SIGKILL, in turn; it starts again after a moment.
func (w *harness) kill() {
	name := scanners[w.kills%len(scanners)]
	if _, already := w.down[name]; already {
		return
	}
	w.kills++
	w.Kill(name)
	w.down[name] = time.Now().Add(time.Second)
}

// supervise starts again what was killed.
func (w *harness) supervise() {
	for name, at := range w.down {
		if time.Now().After(at) {
			delete(w.down, name)
			w.Restart(name)
		}
	}
}

// settleBlocks is how many blocks are mined between two looks at the record.
const settleBlocks = 8

// settle lets everything become final, and settles the doubts that are left as an operator does who has looked.
func (w *harness) settle() {
	w.t.Helper()
	deadline := time.Now().Add(patience + time.Duration(w.plan.Payments)*patienceEach)
	for w.makers.Behind() > 0 && time.Now().Before(deadline) {
		w.customer.pay(w.makers.Ready())
		w.mine(1)
		time.Sleep(w.plan.Block)
	}
	w.customer.pay(w.makers.Ready())
	for range finalDepth + 4 {
		w.mine(1)
		w.supervise()
		time.Sleep(w.plan.Block / 4)
	}
	for w.t.Context().Err() == nil && time.Now().Before(deadline) {
		w.mine(settleBlocks) // coin that a balance tells of is in the newest block, and final only much later
		w.supervise()
		if w.upToDate() && !w.settleDoubts() && len(w.unlike()) == 0 {
			return
		}
		time.Sleep(time.Second)
	}
}

func (w *harness) mine(blocks int) {
	w.t.Helper()
	for range blocks {
		if _, err := w.chain.Mine(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// upToDate reports whether the record has all that is final.
func (w *harness) upToDate() bool {
	var number, final uint64
	err := w.DB.QueryRow("SELECT number, final_number FROM chain_cursors").Scan(&number, &final)
	head := w.chain.Head().Number
	return err == nil && number+2*settleBlocks >= head && final+2*settleBlocks+finalDepth >= head
}

// unlike are the payments of which the record does not say what it should, yet.
func (w *harness) unlike() []string { return Judge(w.cases()).Problems }

// saveLogs copies the logs of the processes into a directory, if one is named.
func (w *harness) saveLogs(dir string) {
	if dir == "" {
		return
	}
	for _, name := range append([]string{"api"}, scanners...) {
		log, err := os.ReadFile(w.LogFile(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".log"), log, 0o600)
		}
		if err != nil {
			w.t.Log(err)
		}
	}
}

// count says how often each value is in a table.
func (w *harness) count(table, of string) string {
	var text string
	err := w.DB.QueryRow("SELECT coalesce(string_agg(n || ' ' || v, ', '), 'none') FROM (SELECT count(*) n, " + of +
		" v FROM " + table + " GROUP BY 2 ORDER BY 1 DESC) c").Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}
