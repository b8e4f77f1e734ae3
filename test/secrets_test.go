package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

// secretFixture is a gateway that was given canary secrets, each with a name.
type secretFixture struct {
	*gateway.Gateway
	t        *testing.T
	canaries map[string]string
	spans    *spans
}

// TestCanarySecrets gives the gateway one secret of each kind, lets it use them in deliveries that succeed and that
// fail, in refused requests, in its own pages, and while its services are away, and then looks for them everywhere but
// where they belong: in all that Redis was ever told, in the logs of all processes at debug, in metrics, traces,
// asynqmon's API, answers, and every column of the database. In each of these locations it also looks for something
// that must be there, so that it cannot search nothing.
func TestCanarySecrets(t *testing.T) {
	receiver := testkit.NewReceiver(t)
	h := &secretFixture{t: t, spans: newSpans(t), canaries: map[string]string{
		"master key":          strings.SplitN(gateway.MasterKeys, ":", 2)[1],
		"operator token":      gateway.OperatorToken,
		"operator read token": "canary-read-token-0b7e4f92c6d1a385",
		"header value":        "Bearer canary-header-7f3a9c1e5d",
		"own secret":          "canary-own-secret-61c8a2b4e0-and-more",
		"default secret":      "canary-default-secret-93b5d7e1f0a2",
		"wrong key":           "ck_live_canarywrongkey00000000000000000000000",
		"client key":          newClientKey(t),
		"collector header":    "canary-collector-5d0c2e",
		"collector password":  "canary-collector-password-8e21",
		"proxy password":      "canary-proxy-password-4c6f",
		"Redis password":      "canary-redis-password-a90d",
		"RPC password":        "canary-rpc-password-77be",
		"RPC key in a path":   "canaryrpckey3f9a0c4d8e2b6715",
		"RPC key in a query":  "canaryrpcquery5a1d7c9e3f",
	}}
	chain := startDevnet(t)
	node := gethNode(chain, 2)
	node.RPC = strings.Replace(chain.URL(), "http://", "http://node:"+h.canaries["RPC password"]+"@", 1)
	node.RPC += "/v3/" + h.canaries["RPC key in a path"]
	node.Spare = []string{"http://127.0.0.1:1/" + h.canaries["RPC key in a path"],
		"ws://127.0.0.1:1/?apikey=" + h.canaries["RPC key in a query"]}
	h.Gateway = gateway.New(t, gateway.Options{Chain: node, Env: []string{
		"LOG_LEVEL=debug", "WEBHOOK_LANES=2", "WEBHOOK_RETRY_BASE=1s", "WEBHOOK_MAX_ATTEMPTS=2",
		"OPERATOR_READ_TOKEN=" + h.canaries["operator read token"],
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + strings.Replace(h.spans.url, "http://",
			"http://trace:"+h.canaries["collector password"]+"@", 1),
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=" + h.canaries["collector header"],
		"EGRESS_PROXY=http://gateway:" + h.canaries["proxy password"] + "@" + newProxy(t, h.canaries["proxy password"]),
		"WEBHOOK_URL=" + receiver.URL + "/default", "WEBHOOK_SECRET=" + h.canaries["default secret"],
	}})
	checkContract(t, h.Gateway)
	database, err := url.Parse(h.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	h.canaries["database password"], _ = database.User.Password()
	h.Redis.Do(t, "ACL", "SETUSER", "gateway", "on", ">"+h.canaries["Redis password"], "~*", "&*", "+@all")
	for _, name := range []string{"api", "worker", "scanner"} {
		h.Start(name, "REDIS_URL=redis://gateway:"+h.canaries["Redis password"]+"@"+h.Redis.Addr+"/0")
	}
	h.WaitReady("api", "worker", "scanner")
	h.WaitScanned()
	m, other := h.NewMerchant(), h.NewMerchant()
	h.canaries["API key"] = m.Key
	headers := &map[string]string{"X-Shop-Auth": h.canaries["header value"]}
	fine := h.NewEndpoint(m, client.WebhookEndpointCreate{URL: receiver.URL + "/fine", Headers: headers,
		Ed25519: new(true)})
	h.canaries["signing secret"] = fine.Secret.Reveal()
	var rotated struct {
		Secret string `json:"secret"`
	}
	if got := h.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+fine.ID+"/rotate_secret", "rotate", nil,
		&rotated); got != http.StatusOK {
		t.Fatalf("rotate: %d", got)
	}
	h.canaries["rotated secret"] = rotated.Secret
	h.canaries["signing key"] = h.signingKey("signing_keys")
	h.canaries["signing key of test endpoints"] = h.signingKey("test_signing_keys")
	broken := h.NewEndpoint(m, client.WebhookEndpointCreate{
		URL: receiver.URL + "/broken", Headers: headers, Secret: new(h.canaries["own secret"]),
		ClientCert: &client.ClientCertificate{CertPEM: newCertificate(t, h.canaries["client key"]),
			KeyPEM: h.canaries["client key"]},
	})
	away := h.NewEndpoint(m, client.WebhookEndpointCreate{URL: "http://127.0.0.1:1/away", Headers: headers,
		Ed25519: new(true)})
	receiver.Script(func(r testkit.Received) testkit.Answer {
		if r.Path == "/broken" {
			return testkit.Answer{Status: http.StatusUnauthorized, Body: []byte("no")}
		}
		return testkit.Answer{}
	})
	for _, e := range []gateway.Endpoint{fine, broken, away} {
		h.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+e.ID+"/test", "", nil, nil)
	}
	// The one without an endpoint has the deployment's.
	if got := h.Call(other.Key, http.MethodPost, "/api/v1/payments", "",
		map[string]any{"chain": h.Chain, "asset": "native", "amount": "1"}, nil); got != http.StatusCreated {
		t.Fatalf("create a payment: %d", got)
	}
	for _, path := range []string{"/fine", "/broken", "/default"} {
		r := receiver.WaitFor(t, func(r testkit.Received) bool { return r.Path == path }, 20*time.Second)
		if r.Header.Get("webhook-signature") == "" || path != "/default" &&
			r.Header.Get("X-Shop-Auth") != h.canaries["header value"] {
			t.Fatalf("a delivery without its secrets: %v", r.Header)
		}
	}
	testkit.Eventually(t, 20*time.Second, "the delivery that the proxy refuses has failed", func() bool {
		var n int
		err := h.DB.QueryRow("SELECT count(*) FROM attempts WHERE endpoint_id = $1 AND class = 'connect'", away.ID).Scan(&n)
		return err == nil && n > 0
	})
	answers := h.provoke(m, fine)

	locations := map[string]string{"spans": h.spans.wait(t), "Redis": h.redis(), "database": h.database()}
	for page, body := range h.pages() {
		locations[page] = body
	}
	locations["answers"] = answers + h.refuseToStart()
	locations["outage"] = h.outage(m)
	locations["logs"] = h.logs()
	// What must be there proves that the location was really searched.
	for location, sure := range map[string][]string{
		"answers": {fine.ID, "PUBLIC_URL", "is Postgres running"}, "spans": {"ctrip-worker"}, "Redis": {fine.ID},
		"database": {fine.ID}, "logs": {"delivery.attempted", "block.scanned", "request.served"},
		"outage":          {"503", `"ready": false`},
		"worker /metrics": {"ctrip_webhook_attempts_total"}, "api /metrics": {"ctrip_"}, "scanner /metrics": {"ctrip_chain"},
		"asynqmon": {"wh:"},
	} {
		for _, text := range sure {
			if !strings.Contains(locations[location], text) {
				t.Errorf("%q is not in %s (%d bytes), so what is not found there proves nothing", text, location,
					len(locations[location]))
			}
		}
	}
	for _, leak := range leaks(locations, h.canaries) {
		t.Error(leak)
	}
}

// leaks names every canary secret that stands in one of the locations, in whichever form.
func leaks(locations, canaries map[string]string) []string {
	var found []string
	for name, secret := range canaries {
		for form, needle := range forms(secret) {
			for location, hay := range locations {
				if i := strings.Index(hay, needle); i >= 0 {
					found = append(found, fmt.Sprintf("the %s is in %s, %s: …%s…", name, location, form,
						strings.ToValidUTF8(hay[max(0, i-80):i], "?")))
				}
			}
		}
	}
	return found
}

// TestLeaksAreFound: the search that proves that nothing leaks finds what leaks, once, in every form.
func TestLeaksAreFound(t *testing.T) {
	for name, secret := range map[string]string{
		"text": "canary-secret-0a1b2c3d4e", "whsec": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"client key": newClientKey(t),
	} {
		all := forms(secret)
		if len(all) < 3 {
			t.Errorf("%s: forms %v", name, all)
		}
		for form, needle := range all {
			if needle == "" {
				t.Errorf("%s, %s: nothing is looked for", name, form)
			}
			found := leaks(map[string]string{"logs": "before " + needle + " after", "spans": "nothing"},
				map[string]string{name: secret})
			if len(found) == 0 || !strings.Contains(strings.Join(found, " "), "the "+name+" is in logs, ") {
				t.Errorf("%s, %s: %v", name, form, found)
			}
		}
	}
	if found := leaks(map[string]string{"logs": "nothing"},
		map[string]string{"key": "canary-secret-0a1b2c3d4e"}); len(found) != 0 {
		t.Error(found)
	}
}

// signingKey opens the gateway's own Ed25519 key, which nobody ever gave it.
func (h *secretFixture) signingKey(table string) string {
	h.t.Helper()
	var id string
	var sealed []byte
	if err := h.DB.QueryRow("SELECT id, sealed FROM "+table).Scan(&id, &sealed); err != nil {
		h.t.Fatal(err)
	}
	name, encoded, _ := strings.Cut(gateway.MasterKeys, ":")
	master, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		h.t.Fatal(err)
	}
	safe, err := vault.New([]vault.Key{{ID: name, Secret: [32]byte(master)}})
	if err != nil {
		h.t.Fatal(err)
	}
	plain, err := safe.Open(sealed, models.SigningKeyAAD(id))
	if err != nil || !strings.HasPrefix(string(plain), "whsk_") {
		h.t.Fatalf("the signing key: %v", err)
	}
	return string(plain)
}

// forms are the shapes in which a secret would give itself away.
func forms(secret string) map[string]string {
	all := map[string]string{"as it is": secret, "in hex": hex.EncodeToString([]byte(secret))}
	all["in base64"] = strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "=")[:20]
	if prefix, rest, ok := strings.Cut(secret, "_"); ok && (prefix == "whsec" || prefix == "whsk") {
		all["without its prefix"] = rest
		if raw, err := base64.StdEncoding.DecodeString(rest); err == nil {
			all["decoded"], all["decoded, in hex"] = string(raw), hex.EncodeToString(raw)
		}
	}
	if block, _ := pem.Decode([]byte(secret)); block != nil {
		lines := strings.Split(secret, "\n")
		all["a line of it"] = lines[1]
		all["in DER, in hex"] = hex.EncodeToString(block.Bytes)
	}
	return all
}

// provoke makes requests that are refused, and reads everything that shows endpoints and attempts.
func (h *secretFixture) provoke(m gateway.Merchant, e gateway.Endpoint) string {
	h.t.Helper()
	var all strings.Builder
	ask := func(key, method, path, body string) {
		req, err := http.NewRequestWithContext(h.t.Context(), method, h.APIURL+path, strings.NewReader(body))
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		res, err := h.Client.Do(req)
		if err != nil {
			h.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %s: %s %v %s\n", method, path, res.Status, res.Header, b)
	}
	quoted := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			h.t.Fatal(err)
		}
		return string(b)
	}
	ask(h.canaries["wrong key"], http.MethodGet, "/api/v1/payments", "")
	ask(h.canaries["wrong key"], http.MethodGet, "/admin/v1/merchants", "")
	for _, body := range []string{
		`{"url": "https://shop.example/", "secret": ` + quoted(h.canaries["own secret"]) + `, "unknown": 1}`,
		`{"url": "http://169.254.169.254/", "secret": ` + quoted(h.canaries["own secret"]) + `}`,
		`{"url": "https://shop.example/", "headers": {"Host": ` + quoted(h.canaries["header value"]) + `}}`,
		`{"url": "https://shop.example/", "headers": {"X-Shop-Auth": ` + quoted(h.canaries["header value"]+"\n") + `}}`,
		`{"url": "https://shop.example/", "client_cert": {"cert_pem": "x", "key_pem": ` + quoted(h.canaries["client key"]) +
			`}}`,
		`{"secret": ` + quoted(h.canaries["own secret"]),
	} {
		ask(m.Key, http.MethodPost, "/api/v1/webhook_endpoints", body)
	}
	ask(m.Key, http.MethodGet, "/api/v1/webhook_endpoints", "")
	ask(m.Key, http.MethodGet, "/api/v1/webhook_endpoints/"+e.ID, "")
	var page struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	h.Call(m.Key, http.MethodGet, "/api/v1/deliveries", "", nil, &page)
	if len(page.Data) < 2 {
		h.t.Fatalf("%d deliveries are listed", len(page.Data))
	}
	for _, d := range page.Data {
		ask(m.Key, http.MethodGet, "/api/v1/deliveries/"+d.ID, "")
	}
	ask(m.Key, http.MethodGet, "/api/v1/api_keys", "")
	all.Write(h.Ctl("audit", "list", "--json"))
	all.Write(h.Ctl("endpoint", "list", "--merchant", m.ID, "--json"))
	all.Write(h.Ctl("key", "list", "--merchant", m.ID, "--json"))
	return all.String()
}

// pages reads what the processes serve to operators.
func (h *secretFixture) pages() map[string]string {
	h.t.Helper()
	pages := make(map[string]string)
	get := func(name, url string) string {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, url, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		req.SetBasicAuth("operator", gateway.OperatorToken)
		res, err := h.Client.Do(req)
		if err != nil {
			h.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			h.t.Errorf("%s: %s, %v", name, res.Status, err)
		}
		return string(b)
	}
	for _, name := range []string{"api", "worker", "scanner"} {
		for _, page := range []string{"/metrics", "/readyz", "/debug/pprof/cmdline"} {
			pages[name+" "+page] = get(name+" "+page, h.OpsURL(name)+page)
		}
	}
	queues := get("asynqmon", h.OpsURL("api")+"/queues/api/queues")
	var list struct {
		Queues []struct {
			Queue string `json:"queue"`
		} `json:"queues"`
	}
	if err := json.Unmarshal([]byte(queues), &list); err != nil {
		h.t.Fatal(err)
	}
	for _, q := range list.Queues {
		for _, kind := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			queues += get("asynqmon", h.OpsURL("api")+"/queues/api/queues/"+q.Queue+"/"+kind+"_tasks")
		}
	}
	pages["asynqmon"] = queues
	return pages
}

// refuseToStart is what binaries say whose settings are at fault, and whose services are away.
func (h *secretFixture) refuseToStart() string {
	h.t.Helper()
	chains := filepath.Join(h.t.TempDir(), "chains.yaml")
	if err := os.WriteFile(chains, []byte("- name: x\n  chain_id: nonsense\n  rpc_urls: [\"ftp://n:"+
		h.canaries["RPC password"]+"@h/"+h.canaries["RPC key in a path"]+"\"]\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	away := []string{
		"ENV=test", "DATABASE_URL=postgres://gateway:" + h.canaries["database password"] + "@127.0.0.1:1/ctrip",
		"MASTER_KEYS=" + gateway.MasterKeys,
		"REDIS_URL=redis://gateway:" + h.canaries["Redis password"] + "@127.0.0.1:1/0",
		"OPERATOR_TOKEN=" + h.canaries["operator token"],
		"EGRESS_PROXY=http://gateway:" + h.canaries["proxy password"] + "@127.0.0.1:1",
		"WEBHOOK_SECRET=" + h.canaries["default secret"],
	}
	faulty := append(slices.Clone(away), "ENV=production", "PUBLIC_URL=http://shop.example",
		"OPERATOR_READ_TOKEN="+h.canaries["operator token"], "CHAINS_FILE="+chains,
		"MASTER_KEYS=k1:"+h.canaries["master key"]+"x", "REDIS_URL=redis://gateway:"+h.canaries["Redis password"]+"@:x/y",
		"WEBHOOK_ALLOW="+h.canaries["own secret"],
		"OTEL_EXPORTER_OTLP_HEADERS="+h.canaries["collector header"], "EGRESS_PROXY=socks5://gateway:"+
			h.canaries["proxy password"]+"@127.0.0.1:1")
	var all bytes.Buffer
	for _, run := range []struct {
		name string
		args []string
		env  []string
	}{
		{"api", nil, away}, {"worker", nil, away}, {"ctripctl", []string{"doctor"}, away},
		{"ctripctl", []string{"audit", "verify"}, away},
		{"api", nil, faulty}, {"worker", nil, faulty}, {"scanner", nil, faulty},
		{"ctripctl", []string{"doctor", "--json"}, faulty},
	} {
		ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, gateway.Binary(h.t, run.name), run.args...)
		cmd.Env, cmd.Dir = run.env, h.t.TempDir()
		out, err := cmd.CombinedOutput()
		cancel()
		if err == nil || len(out) == 0 {
			h.t.Errorf("%s %v did not refuse: %s", run.name, run.args, out)
		}
		fmt.Fprintf(&all, "%s %v: %s\n", run.name, run.args, out)
	}
	return all.String()
}

// outage is what the processes say of themselves while Postgres and Redis are away.
func (h *secretFixture) outage(m gateway.Merchant) string {
	h.t.Helper()
	if err := h.Postgres.Kill(); err != nil {
		h.t.Fatal(err)
	}
	h.Redis.Kill(h.t)
	defer func() {
		h.Redis.Start(h.t)
		h.Redis.Do(h.t, "ACL", "SETUSER", "gateway", "on", ">"+h.canaries["Redis password"], "~*", "&*", "+@all")
		if err := h.Postgres.Start(); err != nil {
			h.t.Fatal(err)
		}
	}()
	var all strings.Builder
	get := func(url string) int {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, url, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+m.Key)
		res, err := h.Client.Do(req)
		if err != nil {
			h.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			h.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s: %s %v %s\n", url, res.Status, res.Header, b)
		return res.StatusCode
	}
	for _, name := range []string{"api", "worker", "scanner"} {
		testkit.Eventually(h.t, 30*time.Second, name+" says that it is not ready",
			func() bool { return get(h.OpsURL(name)+"/readyz") == http.StatusServiceUnavailable })
	}
	get(h.APIURL + "/api/v1/payments")
	return all.String()
}
