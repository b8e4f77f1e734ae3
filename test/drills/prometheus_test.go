package drills

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// patience is how long an alert may take to fire or to clear, beyond what its fault needs, on a busy machine.
const patience = 90 * time.Second

// alerting is one alert that fires, or did.
type alerting struct {
	name, where, severity string
	began, ended          time.Time // ended is zero while it fires
}

// watcher reads what fires in a Prometheus.
type watcher struct {
	t     *testing.T
	url   string
	since time.Time

	mu   sync.Mutex
	seen []*alerting
	told map[string]string // alert → fault, for the table
}

// watchAlerts starts a Prometheus that scrapes the addresses with the rules, scaled, and reads its alerts.
func watchAlerts(t *testing.T, ops ...string) *watcher {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is missing: scripts/setup installs it")
	}
	rules, err := os.ReadFile("../../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	scaled, err := Scale(string(rules))
	if err != nil {
		t.Fatal(err)
	}
	targets := make([]string, len(ops))
	for i, listener := range ops {
		targets[i] = strings.TrimPrefix(listener, "http://")
	}
	dir := t.TempDir()
	settings := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"+
		"rule_files: [rules.yml]\nscrape_configs:\n  - {job_name: ctrip, static_configs: [{targets: [%q]}]}\n",
		strings.Join(targets, `", "`))
	for name, text := range map[string]string{"rules.yml": scaled,
		"prometheus.yml": strings.ReplaceAll(settings, `\"`, `"`)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := testkit.FreeAddr(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = log, log
	child, err := testkit.StartChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{t: t, url: "http://" + addr, since: time.Now(), told: make(map[string]string)}
	t.Cleanup(func() {
		if err := child.Stop(30 * time.Second); err != nil {
			t.Error(err)
		}
	})
	testkit.Eventually(t, time.Minute, "Prometheus answers", func() bool {
		res, err := http.Get(w.url + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	// A fault before the first look at a counter is not seen, and what nobody has scraped yet is taken for dead.
	testkit.Eventually(t, time.Minute, "every process has been scraped three times", func() bool {
		return w.query("count(count_over_time(ctrip_build_info[1m]) >= 3)") == len(ops) &&
			w.query(`count(ALERTS{alertstate="firing"})`) == 0
	})
	w.since = time.Now()
	over, ended := make(chan struct{}), make(chan struct{})
	go w.follow(over, ended)
	t.Cleanup(func() { close(over); <-ended })
	return w
}

// query is the value of a query that has one, 0 for none.
func (w *watcher) query(q string) (n int) {
	res, err := http.Get(w.url + "/api/v1/query?query=" + url.QueryEscape(q))
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	var page struct {
		Data struct{ Result []struct{ Value []any } }
	}
	if json.NewDecoder(res.Body).Decode(&page) != nil || len(page.Data.Result) == 0 {
		return 0
	}
	_, _ = fmt.Sscan(fmt.Sprint(page.Data.Result[0].Value[1]), &n)
	return n
}

func (w *watcher) follow(over, ended chan struct{}) {
	defer close(ended)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			w.look()
		}
	}
}

// look notes what has begun to fire, and what has ceased to.
func (w *watcher) look() {
	res, err := http.Get(w.url + "/api/v1/alerts")
	if err != nil {
		return
	}
	defer res.Body.Close()
	var page struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if json.NewDecoder(res.Body).Decode(&page) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now, firing := time.Now(), make(map[string]bool)
	for _, a := range page.Data.Alerts {
		if a.State != "firing" {
			continue
		}
		where := a.Labels["chain"] + a.Labels["lane"] + a.Labels["limit"]
		key := a.Labels["alertname"] + " " + where + a.Labels["instance"]
		firing[key] = true
		if !slices.ContainsFunc(w.seen, func(s *alerting) bool {
			return s.name+" "+s.where == key && s.ended.IsZero()
		}) {
			w.seen = append(w.seen, &alerting{name: a.Labels["alertname"], where: where + a.Labels["instance"],
				severity: a.Labels["severity"], began: now})
		}
	}
	for _, s := range w.seen {
		if s.ended.IsZero() && !firing[s.name+" "+s.where] {
			s.ended = now
		}
	}
}

// firing are the alerts of that name that fire now, of one chain where chain is given.
func (w *watcher) firing(name, chain string) (found []alerting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s.name == name && s.ended.IsZero() && (chain == "" || strings.HasPrefix(s.where, chain)) {
			found = append(found, *s)
		}
	}
	return found
}

// fires waits until an alert fires, for a fault that is told in the table.
func (w *watcher) fires(fault, name string, within time.Duration) {
	w.t.Helper()
	name, chain, _ := strings.Cut(name, "@")
	w.mu.Lock()
	if w.told[name] == "" {
		w.told[name] = fault
	}
	w.mu.Unlock()
	w.until(within+patience, name+" fires: "+fault, func() bool { return len(w.firing(name, chain)) > 0 })
}

// clears waits until nothing of these names fires any more.
func (w *watcher) clears(names ...string) {
	w.t.Helper()
	for _, name := range names {
		name, chain, _ := strings.Cut(name, "@")
		w.until(patience, name+" clears", func() bool { return len(w.firing(name, chain)) == 0 })
	}
}

// until is testkit.Eventually for several drills at once: what takes too long is told, and the others go on.
func (w *watcher) until(within time.Duration, what string, so func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(within); !so(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Errorf("not within %s: %s", within, what)
			return
		}
	}
}

// criticalSince are the critical alerts that began to fire after a moment.
func (w *watcher) criticalSince(at time.Time) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s.severity == "critical" && s.began.After(at) {
			names = append(names, s.name+" "+s.where)
		}
	}
	return names
}

// table prints a line for every alert of the rules, and holds that each was fired by a fault and cleared.
func (w *watcher) table() {
	w.t.Helper()
	rules, err := os.ReadFile("../../deploy/prometheus/rules.yml")
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := []string{fmt.Sprintf("%-26s %-8s %7s %7s  %s", "ALERT", "SEVERITY", "FIRED", "CLEARED", "FAULT")}
	for _, m := range regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
		name, fired, cleared, severity := m[1], "-", "-", ""
		for _, s := range w.seen {
			if s.name != name {
				continue
			}
			severity = s.severity
			if fired == "-" {
				fired = fmt.Sprintf("%.0fs", s.began.Sub(w.since).Seconds())
			}
			if cleared = "-"; !s.ended.IsZero() {
				cleared = fmt.Sprintf("%.0fs", s.ended.Sub(w.since).Seconds())
			}
		}
		lines = append(lines, fmt.Sprintf("%-26s %-8s %7s %7s  %s", name, severity, fired, cleared, w.told[name]))
		if fired == "-" || cleared == "-" || w.told[name] == "" {
			w.t.Errorf("%s: fired %s, cleared %s, by %q: every alert has a fault that fires it and a repair", name, fired,
				cleared, w.told[name])
		}
	}
	w.t.Log("\n" + strings.Join(lines, "\n"))
}
