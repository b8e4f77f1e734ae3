package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestMetricsMove makes the causes happen in a process with every role, and reads its metrics page: requests
// answered, turned away and failed, payments that reach a status through the API and through the scanner, one that is
// quarantined.
func TestMetricsMove(t *testing.T) {
	url, db := database(t, true)
	cfg := settings(t, url, testkit.Redis(t))
	key := newMerchant(t, cfg)
	start(t, cfg)
	api, err := client.New(client.Options{URL: cfg.PublicURL, Key: key, HTTPClient: oneRequest(), Retries: -1})
	noError(t, err)
	testkit.Eventually(t, time.Minute, "the scanner has begun", func() bool {
		return count(t, db, "SELECT count(*) FROM chain_cursors") == 1
	})
	create := func() client.Payment {
		t.Helper()
		p, err := api.CreatePayment(t.Context(), client.PaymentCreate{Chain: chainName, Asset: "native", Amount: new("1000")})
		noError(t, err)
		return p
	}
	canceled, expired, broken := create(), create(), create()
	_, err = api.CancelPayment(t.Context(), canceled.ID)
	noError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE payments SET expires_at = now() - interval '1 minute' WHERE id = $1",
		expired.ID)
	noError(t, err)
	// A sequence that the schema of every event forbids: the event of the expiry cannot be made.
	_, err = db.ExecContext(t.Context(),
		"UPDATE payments SET expires_at = now() - interval '1 minute', sequence = -9 WHERE id = $1", broken.ID)
	noError(t, err)
	stranger, err := client.New(client.Options{URL: cfg.PublicURL, Key: "ck_test_none", HTTPClient: oneRequest()})
	noError(t, err)
	if _, err := stranger.GetMerchant(t.Context()); err == nil {
		t.Error("a bad key is taken")
	}
	_, err = db.ExecContext(t.Context(), "ALTER TABLE webhook_endpoints RENAME TO webhook_endpoints_away")
	noError(t, err)
	for _, err := range api.WebhookEndpoints(t.Context(), client.ListWebhookEndpointsParams{}) {
		if err == nil {
			t.Error("endpoints are listed without their table")
		}
		break
	}
	_, err = db.ExecContext(t.Context(), "ALTER TABLE webhook_endpoints_away RENAME TO webhook_endpoints")
	noError(t, err)
	for _, want := range []string{
		`ctrip_api_requests_total\{code="201",method="POST",route="/api/v1/payments"\} 3`,
		`ctrip_api_requests_total\{code="5\d\d",method="GET",route="/api/v1/webhook_endpoints"\} [1-9]`,
		`ctrip_api_request_seconds_count\{method="POST",route="/api/v1/payments"\} 3`,
		`ctrip_api_auth_failures_total [1-9]`,
		`ctrip_payments_moved_total\{status="canceled"\} 1`, `ctrip_payments_moved_total\{status="expired"\} 1`,
		`ctrip_payments_quarantined_total [1-9]`, `ctrip_payments_in_quarantine 1`,
		`ctrip_record_write_age_seconds \d`, `ctrip_chain_seen_age_seconds\{chain="devnet"\} \d`,
		`ctrip_chain_addresses_watched\{chain="devnet"\} [1-9]`, `ctrip_chain_disagreements_total\{chain="devnet"\} 0`,
		`ctrip_connections_refused_total\{limit="total",listener="API"\} 0`,
		`ctrip_chain_blocks_scanned_total\{chain="devnet"\} [1-9]`, `ctrip_running\{role="worker"\} 1`,
	} {
		line := regexp.MustCompile(`(?m)^` + want)
		testkit.Eventually(t, 30*time.Second, "the metrics show "+want, func() bool {
			res, err := oneRequest().Get("http://" + cfg.OpsAddr + "/metrics")
			if err != nil || res.StatusCode != http.StatusOK {
				return false
			}
			defer res.Body.Close()
			page, err := io.ReadAll(res.Body)
			return err == nil && line.Match(page)
		})
	}
}

// TestEveryMetricIsFed: each method of the metrics has a caller, and whoever takes the metrics as an option is given
// them where the processes are wired. What nothing feeds shows zero for ever, and its alert never fires.
func TestEveryMetricIsFed(t *testing.T) {
	source := new(strings.Builder)
	takers := map[string]bool{} // package.Options that have a field Metrics
	field := regexp.MustCompile(`(?m)^\s+Metrics\s+\*telemetry\.Metrics`)
	for _, root := range []string{"../../internal", "../../jobs"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.Contains(path, "/telemetry/") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			if field.Match(text) {
				before := string(text[:field.FindIndex(text)[0]])
				names := regexp.MustCompile(`(?m)^type (\w+) struct`).FindAllStringSubmatch(before, -1)
				takers[filepath.Base(filepath.Dir(path))+"."+names[len(names)-1][1]] = false
			}
			return err
		})
		noError(t, err)
	}
	methods := reflect.TypeFor[*telemetry.Metrics]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !regexp.MustCompile(`(?i)metrics\.` + name + `\b`).MatchString(source.String()) {
			t.Errorf("nothing calls Metrics.%s", name)
		}
	}
	for _, dir := range []string{".", "../wiring"} {
		files, err := filepath.Glob(dir + "/*.go")
		noError(t, err)
		for _, file := range files {
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			noError(t, err)
			ast.Inspect(tree, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				kind, ok := literal.Type.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				for _, element := range literal.Elts {
					pair, ok := element.(*ast.KeyValueExpr)
					if key, isName := pairKey(pair, ok); isName && key == "Metrics" {
						takers[kind.X.(*ast.Ident).Name+"."+kind.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	if len(takers) < 7 {
		t.Errorf("only %d options take metrics: %v", len(takers), takers)
	}
	for name, given := range takers {
		if !given {
			t.Errorf("%s takes metrics, and nobody gives it any", name)
		}
	}
}

func pairKey(pair *ast.KeyValueExpr, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	name, ok := pair.Key.(*ast.Ident)
	if !ok {
		return "", false
	}
	return name.Name, true
}
