package test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

// secretHouse is a gateway into which secrets were planted, each by its name.
type secretHouse struct {
	*gateway.House
	t       *testing.T
	planted map[string]string
	spans   *spans
}

// TestPlantedSecrets gives the gateway one secret of each kind, lets it use them in deliveries that succeed and that fail,
// in refused requests and in its own pages, and then looks for them everywhere but where they belong: in all that Redis
// was ever told, in the logs of all processes at debug, in metrics, traces, asynqmon's API, answers, and every column of
// the database. In each of these places it also looks for something that must be there, so that it cannot search nothing.
func TestPlantedSecrets(t *testing.T) {
	receiver := testkit.NewReceiver(t)
	h := &secretHouse{t: t, spans: newSpans(t), planted: map[string]string{
		"master key":     strings.SplitN(gateway.MasterKeys, ":", 2)[1],
		"operator token": gateway.OperatorToken,
		"header value":   "Bearer planted-header-7f3a9c1e5d",
		"own secret":     "planted-own-secret-61c8a2b4e0-and-more",
		"wrong key":      "ck_live_plantedwrongkey0000000000000000000000",
		"client key":     newClientKey(t),
	}}
	h.House = gateway.New(t, gateway.Options{Env: []string{
		"LOG_LEVEL=debug", "WEBHOOK_LANES=2", "WEBHOOK_RETRY_BASE=1s", "WEBHOOK_MAX_ATTEMPTS=2", "OTEL_EXPORTER_OTLP_ENDPOINT=" + h.spans.url,
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=planted-collector-5d0c2e",
	}})
	h.planted["collector header"] = "planted-collector-5d0c2e"
	h.Start("api")
	h.Start("worker")
	h.WaitReady("api", "worker")
	m := h.NewMerchant()
	h.planted["API key"] = m.Key
	headers := map[string]any{"headers": map[string]string{"X-Shop-Auth": h.planted["header value"]}, "ed25519": true}
	fine := h.NewEndpoint(m, receiver.URL+"/fine", headers)
	h.planted["signing secret"] = fine.Secret.Reveal()
	var rotated struct {
		Secret string `json:"secret"`
	}
	if got := h.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+fine.ID+"/rotate_secret", "rotate", nil, &rotated); got != http.StatusOK {
		t.Fatalf("rotate: %d", got)
	}
	h.planted["rotated secret"] = rotated.Secret
	h.planted["signing key"] = h.signingKey()
	broken := h.NewEndpoint(m, receiver.URL+"/broken", map[string]any{
		"headers": headers["headers"], "secret": h.planted["own secret"],
		"client_cert": map[string]string{"cert_pem": newCertificate(t, h.planted["client key"]), "key_pem": h.planted["client key"]},
	})
	receiver.Script(func(r testkit.Received) testkit.Answer {
		if r.Path == "/broken" {
			return testkit.Answer{Status: http.StatusUnauthorized, Body: []byte("no")}
		}
		return testkit.Answer{}
	})
	for _, e := range []gateway.Endpoint{fine, broken} {
		h.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+e.ID+"/test", "", nil, nil)
	}
	seen := receiver.WaitCount(t, 2, 20*time.Second)
	for _, r := range seen {
		if r.Header.Get("X-Shop-Auth") != h.planted["header value"] || r.Header.Get("webhook-signature") == "" {
			t.Fatalf("a delivery without its secrets: %v", r.Header)
		}
	}
	answers := h.provoke(m, fine)

	places := map[string]string{"answers": answers, "spans": h.spans.wait(t), "logs": h.logs(), "Redis": h.redis(), "database": h.database()}
	for page, body := range h.pages() {
		places[page] = body
	}
	// What must be there proves that the place was really searched.
	for place, sure := range map[string]string{
		"answers": fine.ID, "spans": "ctrip-worker", "logs": "delivery.attempted", "Redis": fine.ID, "database": fine.ID,
		"worker /metrics": "ctrip_webhook_attempts_total", "api /metrics": "ctrip_", "asynqmon": "wh:",
	} {
		if !strings.Contains(places[place], sure) {
			t.Errorf("%q is not in %s (%d bytes), so what is not found there proves nothing", sure, place, len(places[place]))
		}
	}
	for name, secret := range h.planted {
		for form, needle := range forms(secret) {
			for place, hay := range places {
				if i := strings.Index(hay, needle); i >= 0 {
					t.Errorf("the %s is in %s, %s: …%s…", name, place, form, strings.ToValidUTF8(hay[max(0, i-80):i], "?"))
				}
			}
		}
	}
}

// signingKey opens the gateway's own Ed25519 key, which nobody ever gave it.
func (h *secretHouse) signingKey() string {
	h.t.Helper()
	var id string
	var sealed []byte
	if err := h.DB.QueryRow("SELECT id, sealed FROM signing_keys").Scan(&id, &sealed); err != nil {
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
	plain, err := safe.Open(sealed, models.SigningKeyPlace(id))
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
func (h *secretHouse) provoke(m gateway.Merchant, e gateway.Endpoint) string {
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
	ask(h.planted["wrong key"], http.MethodGet, "/api/v1/payments", "")
	ask(h.planted["wrong key"], http.MethodGet, "/admin/v1/merchants", "")
	for _, body := range []string{
		`{"url": "https://shop.example/", "secret": ` + quoted(h.planted["own secret"]) + `, "unknown": 1}`,
		`{"url": "http://169.254.169.254/", "secret": ` + quoted(h.planted["own secret"]) + `}`,
		`{"url": "https://shop.example/", "headers": {"Host": ` + quoted(h.planted["header value"]) + `}}`,
		`{"url": "https://shop.example/", "headers": {"X-Shop-Auth": ` + quoted(h.planted["header value"]+"\n") + `}}`,
		`{"url": "https://shop.example/", "client_cert": {"cert_pem": "x", "key_pem": ` + quoted(h.planted["client key"]) + `}}`,
		`{"secret": ` + quoted(h.planted["own secret"]),
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
func (h *secretHouse) pages() map[string]string {
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
	for _, name := range []string{"api", "worker"} {
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

func (h *secretHouse) logs() string {
	h.t.Helper()
	var all []byte
	for _, name := range []string{"api", "worker"} {
		b, err := os.ReadFile(h.LogFile(name))
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}

// redis is every command that changed Redis since it was started: its append-only file.
func (h *secretHouse) redis() string {
	h.t.Helper()
	dir, ok := h.Redis.Do(h.t, "CONFIG", "GET", "dir").([]any)
	if !ok || len(dir) != 2 {
		h.t.Fatalf("CONFIG GET dir: %v", dir)
	}
	files, err := filepath.Glob(fmt.Sprint(dir[1]) + "/appendonlydir/*.aof")
	if err != nil || len(files) == 0 {
		h.t.Fatalf("append-only files: %v, %v", files, err)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}

// database is every row of every table as JSON, in which bytes are hex.
func (h *secretHouse) database() string {
	h.t.Helper()
	names := h.column("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
	if len(names) < 10 || !slices.Contains(names, "endpoint_secrets") {
		h.t.Fatalf("tables: %v", names)
	}
	var all strings.Builder
	for _, name := range names {
		for _, row := range h.column(`SELECT to_jsonb(r)::text FROM "` + name + `" r`) {
			all.WriteString(name + ": " + row + "\n")
		}
	}
	return all.String()
}

func (h *secretHouse) column(query string) []string {
	h.t.Helper()
	rows, err := h.DB.QueryContext(h.t.Context(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// spans is a collector of traces that keeps what it is sent.
type spans struct {
	url string
	mu  sync.Mutex
	all bytes.Buffer
}

func newSpans(t *testing.T) *spans {
	s := &spans{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unzipped
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err := io.Copy(&s.all, body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// wait returns the spans as soon as some of a worker are among them.
func (s *spans) wait(t *testing.T) string {
	t.Helper()
	var all string
	testkit.Eventually(t, 30*time.Second, "the worker's spans arrive", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		all = s.all.String()
		return strings.Contains(all, "ctrip-worker")
	})
	return all
}

func newClientKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func newCertificate(t *testing.T, keyPEM string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(keyPEM))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private := key.(*ecdsa.PrivateKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
