package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	oldKey = gateway.MasterKeys
	newKey = "k2:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// runbook runs the commands of docs/security.md as they stand there.
type runbook struct {
	*gateway.Gateway
	t          *testing.T
	dir        string
	masterKeys string
	commands   []string        // that the page tells
	run        map[string]bool // of them
	blanks     map[string]string
}

func newRunbook(t *testing.T, h *gateway.Gateway) *runbook {
	t.Helper()
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## When something happened\n")
	if !ok {
		t.Fatal("docs/security.md has no runbook")
	}
	b := &runbook{Gateway: h, t: t, dir: t.TempDir(), masterKeys: oldKey, run: make(map[string]bool),
		blanks: map[string]string{"'…'": "drill"}}
	for _, m := range regexp.MustCompile("`(ctripctl [^`]+)`").FindAllStringSubmatch(section, -1) {
		b.commands = append(b.commands, strings.Join(strings.Fields(m[1]), " "))
	}
	return b
}

// do runs a command of the page, with what its blanks stand for now, and returns what it printed.
func (b *runbook) do(command string, wantExit int) []byte {
	b.t.Helper()
	if !slices.Contains(b.commands, command) {
		b.t.Fatalf("docs/security.md does not say %q", command)
	}
	b.run[command] = true
	args := strings.Fields(command)[1:]
	for i, arg := range args {
		if filled, ok := b.blanks[arg]; ok {
			args[i] = filled
		}
	}
	out, code := b.ctl(append(args, "--json")...)
	if code != wantExit {
		b.t.Fatalf("%s: exit %d, want %d\n%s", command, code, wantExit, out)
	}
	return out
}

func (b *runbook) ctl(args ...string) ([]byte, int) {
	b.t.Helper()
	cmd := b.command(args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	return out, cmd.ProcessState.ExitCode()
}

func (b *runbook) command(args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), gateway.Binary(b.t, "ctripctl"), args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "ENV=test", "DATABASE_URL=" + b.DatabaseURL,
		"REDIS_URL=" + b.Redis.URL,
		"MASTER_KEYS=" + b.masterKeys, "OPERATOR_TOKEN=" + gateway.OperatorToken, "WEBHOOK_ALLOW=127.0.0.0/8"}
	return cmd
}

// restart gives the processes other master keys.
func (b *runbook) restart(masterKeys string) {
	b.t.Helper()
	for _, name := range []string{"api", "worker"} {
		b.Stop(name)
		b.Start(name, "MASTER_KEYS="+masterKeys)
	}
	b.WaitReady("api", "worker")
	b.masterKeys = masterKeys
}

func (b *runbook) save(name string, content []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// saved is a request as it was received.
func saved(r testkit.Received, body []byte) []byte {
	var all bytes.Buffer
	for name, values := range r.Header {
		if name != "Content-Length" {
			fmt.Fprintf(&all, "%s: %s\r\n", name, values[0])
		}
	}
	return append(append(all.Bytes(), "\r\n"...), body...)
}

// TestRunbook lives through the incidents of docs/security.md, each command as the page has it: an endpoint is isolated
// and its secret replaced, a mismatch is investigated with the stored bytes, the master key is rotated under a gateway
// that runs, by a command that is killed in the middle, and the record is verified.
func TestRunbook(t *testing.T) {
	receiver := testkit.NewReceiver(t)
	b := newRunbook(t, gateway.New(t, gateway.Options{DatabaseURL: testkit.Postgres(t), Env: []string{"WEBHOOK_LANES=2"}}))
	b.Start("api")
	b.Start("worker")
	b.WaitReady("api", "worker")
	m := b.NewMerchant()
	e := b.NewEndpoint(m, client.WebhookEndpointCreate{URL: receiver.URL + "/hooks",
		Headers: &map[string]string{"X-Shop": "canary"}, Ed25519: new(true)})
	b.blanks["we_…"], b.blanks["mer_…"], b.blanks["URL"] = e.ID, m.ID, receiver.URL+"/hooks"
	send := func() testkit.Received {
		t.Helper()
		n := len(receiver.All())
		if got := b.Call(m.Key, http.MethodPost, "/api/v1/webhook_endpoints/"+e.ID+"/test", "", nil, nil); got/100 != 2 {
			t.Fatalf("test: %d", got)
		}
		return receiver.WaitCount(t, n+1, 30*time.Second)[n]
	}
	signedBy := func(r testkit.Received, secret webhook.Secret) bool {
		_, err := webhook.Verify(r.Header, r.Body, []webhook.Secret{secret})
		return err == nil
	}
	rotate := func() webhook.Secret {
		t.Helper()
		var answer struct {
			Secret string `json:"secret"`
		}
		gateway.Decode(t, b.do("ctripctl endpoint rotate-secret we_… --overlap 0s", 0), &answer)
		secret, err := webhook.ParseSecret(answer.Secret)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	leaked := e.Secret
	if r := send(); !signedBy(r, leaked) {
		t.Fatal("the first delivery does not verify")
	}

	// A secret leaked: nothing leaves, what waits is signed with the new one alone.
	b.do("ctripctl deliveries pause --endpoint we_… --reason '…'", 0)
	fresh := rotate()
	b.do("ctripctl deliveries resume --endpoint we_…", 0)
	r := send()
	if signedBy(r, leaked) || !signedBy(r, fresh) {
		t.Error("after the rotation the leaked secret still verifies, or the new one does not")
	}

	// A receiver complains: the stored bytes fit, what he saved does not.
	b.save("secret.txt", []byte(fresh.Reveal()))
	b.save("saved.http", saved(r, r.Body))
	verify := "ctripctl webhook verify --request saved.http --secret-file secret.txt"
	b.do(verify, 0)
	b.save("saved.http", saved(r, bytes.Replace(r.Body, []byte(`"`), []byte(` "`), 1)))
	b.do(verify, 1)
	var stored json.RawMessage
	if got := b.Call(m.Key, http.MethodGet, "/api/v1/events/"+r.ID(), "", nil, &stored); got != http.StatusOK ||
		!bytes.Equal(stored, r.Body) {
		t.Fatalf("the stored bytes: %d %s", got, stored)
	}
	b.save("saved.http", saved(r, stored))
	b.do(verify, 0)
	b.save("secret.txt", []byte(leaked.Reveal()))
	b.do(verify, 1)
	b.save("secret.txt", []byte(fresh.Reveal()))
	b.do("ctripctl webhook replay-test URL --secret-file secret.txt", 1) // this receiver checks nothing

	b.rotateMasterKey(m.ID)
	fresh = rotate()

	// Everything else.
	b.do("ctripctl deliveries pause --reason '…'", 0)
	b.do("ctripctl endpoint list --merchant mer_…", 0)
	b.do("ctripctl signing-key rotate --publish-ahead 0s --overlap 0s", 0)
	var key struct {
		Key struct {
			ID string `json:"id"`
		} `json:"key"`
		Secret string `json:"secret"`
	}
	gateway.Decode(t, b.do("ctripctl key create --merchant mer_… --name '…'", 0), &key)
	lost := m.Key
	var lostID string
	if err := b.DB.QueryRow("SELECT id FROM api_keys WHERE merchant_id = $1 ORDER BY created_at LIMIT 1",
		m.ID).Scan(&lostID); err != nil {
		t.Fatal(err)
	}
	b.blanks["key_…"] = lostID
	b.do("ctripctl key revoke key_…", 0)
	m.Key = key.Secret
	testkit.Eventually(t, 10*time.Second, "the revoked key is refused", func() bool {
		return b.Call(lost, http.MethodGet, "/api/v1/payments", "", nil, nil) == http.StatusUnauthorized
	})
	b.do("ctripctl deliveries resume", 0)
	if r = send(); !signedBy(r, fresh) || signedBy(r, leaked) {
		t.Error("after everything was rotated the delivery does not verify by the new secret alone")
	}

	// A dispute.
	testkit.Eventually(t, 20*time.Second, "the delivery is recorded", func() bool {
		var id string
		err := b.DB.QueryRow("SELECT id FROM deliveries WHERE event_id = $1 AND state = 'delivered'", r.ID()).Scan(&id)
		b.blanks["dlv_…"] = id
		return err == nil
	})
	b.do("ctripctl delivery evidence dlv_… --out evidence.json", 0)
	var keys json.RawMessage
	if got := b.Call("", http.MethodGet, "/.well-known/webhook-keys.json", "", nil, &keys); got != http.StatusOK {
		t.Fatalf("the public keys: %d", got)
	}
	b.save("keys.json", keys)
	b.do("ctripctl delivery check evidence.json --keys-file keys.json", 0)
	b.blanks["URL"] = "http://127.0.0.1:1"
	b.save("secret.txt", []byte(fresh.Reveal()))
	b.save("saved.http", saved(r, r.Body))
	// The body has no transfers, so that no node is asked.
	b.do("ctripctl webhook verify --request saved.http --secret-file secret.txt --rpc URL", 0)

	// The record.
	var verdict struct {
		OK   bool   `json:"ok"`
		Head string `json:"head"`
	}
	gateway.Decode(t, b.do("ctripctl audit verify", 0), &verdict)
	b.blanks["LINE:HASH"] = verdict.Head
	b.do("ctripctl audit verify --head LINE:HASH", 0)
	lines := string(b.do("ctripctl audit list --from 1 --limit 1000", 0))
	for _, action := range []string{
		"merchant.created", "key.created", "endpoint.created", "deliveries.paused", "endpoint.secret_rotated",
		"deliveries.resumed", "keys.reencryption_started",
		"keys.reencrypted", "signing_key.rotated", "key.revoked", "delivery.evidence_exported",
	} {
		if !strings.Contains(lines, `"`+action+`"`) {
			t.Errorf("no line of the audit log tells of %s", action)
		}
	}
	for _, command := range b.commands {
		if !b.run[command] {
			t.Errorf("docs/security.md says %q, which nobody has tried", command)
		}
	}
	if len(b.commands) < 15 {
		t.Errorf("only %d commands are told", len(b.commands))
	}
}

// rotateMasterKey moves everything under a new master key while the gateway runs. Many answers are kept, so that the
// command is killed in the middle of its work.
func (b *runbook) rotateMasterKey(merchant string) {
	b.t.Helper()
	const answers = 20000
	older, newer := vaultOf(b.t, oldKey), vaultOf(b.t, newKey)
	tx, err := b.DB.BeginTx(b.t.Context(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range answers {
		key := fmt.Sprintf("drill-%06d", i)
		value, err := older.Seal([]byte(`{"answer":"`+key+`"}`), models.AnswerAAD(merchant, "POST", "/api/v1/payments", key))
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := tx.ExecContext(b.t.Context(), `INSERT INTO idempotency_keys (merchant_id, method, path, key, request_hash, status_code, answer, created_at, expires_at)
			VALUES ($1, 'POST', '/api/v1/payments', $2, 'x', 201, $3, now(), now() + interval '1 day')`, merchant, key, value); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.t.Fatal(err)
	}
	b.restart(newKey + "," + oldKey)

	under := func(id string) (n int) {
		b.t.Helper()
		if err := b.DB.QueryRow(
			"SELECT count(*) FROM idempotency_keys WHERE key LIKE 'drill-%' AND substr(answer, 3, 2) = $1",
			[]byte(id)).Scan(&n); err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	first := b.command("keys", "reencrypt")
	child, err := testkit.StartChild(first)
	if err != nil {
		b.t.Fatal(err)
	}
	testkit.Eventually(b.t, time.Minute, "a value is under the new key", func() bool { return under("k2") > 0 })
	if err := child.Kill(); err != nil {
		b.t.Fatal(err)
	}
	done := under("k2")
	if done == 0 || done == answers {
		b.t.Fatalf("%d of %d were done when the command was killed, which proves nothing", done, answers)
	}
	var r struct {
		Total       int64             `json:"total"`
		Checked     int64             `json:"checked"`
		Reencrypted int64             `json:"reencrypted"`
		Unreadable  map[string]string `json:"unreadable"`
	}
	out := b.do("ctripctl keys reencrypt", 0)
	gateway.Decode(b.t, out[bytes.IndexByte(out, '{'):], &r)
	if r.Checked < answers || r.Reencrypted < int64(answers-done) || r.Reencrypted >= r.Total || len(r.Unreadable) != 0 {
		b.t.Errorf("after %d: %+v", done, r)
	}
	b.t.Logf("killed after %d of %d values; the second run did %d of %d", done, answers, r.Reencrypted, r.Total)
	b.restart(newKey)
	if left := under("k1"); left != 0 {
		b.t.Errorf("%d values are left under the old key", left)
	}
	rows, err := b.DB.QueryContext(b.t.Context(), "SELECT key, answer FROM idempotency_keys WHERE key LIKE 'drill-%'")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var value []byte
		if err := rows.Scan(&key, &value); err != nil {
			b.t.Fatal(err)
		}
		if plain, err := newer.Open(value, models.AnswerAAD(merchant, "POST", "/api/v1/payments", key)); err != nil ||
			string(plain) != `{"answer":"`+key+`"}` {
			b.t.Fatalf("%s: %s, %v", key, plain, err)
		}
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
}

func vaultOf(t *testing.T, masterKey string) *vault.Vault {
	t.Helper()
	id, encoded, _ := strings.Cut(masterKey, ":")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New([]vault.Key{{ID: id, Secret: [32]byte(raw)}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
