package quickstart

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func options(out *bytes.Buffer) Options {
	return Options{
		APIAddr: "127.0.0.1:0", OpsAddr: "127.0.0.1:0", RPCAddr: "127.0.0.1:0", Out: out,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
}

// TestOnce tells the story and reads it.
func TestOnce(t *testing.T) {
	var out bytes.Buffer
	o := options(&out)
	o.Once = true
	if err := Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		`201 payment pay_`, `verified payment.created evt_`, `verified payment.detected evt_`,
		`verified payment.confirmed evt_`,
		`order A-1 marked paid`, `order A-2 marked paid`, `answered 500 on purpose (attempt 2)`, `recovered at attempt 3`,
		`delivered, attempt 3 answered 200`, `verified payment.reorged evt_`, `retracts evt_`, `order A-4 marked paid`,
		`All of it held`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// TestEnvFileAndLinks: the env file is there when everything answers, and every printed link does.
func TestEnvFileAndLinks(t *testing.T) {
	var out bytes.Buffer
	o := options(&out)
	o.EnvFile = filepath.Join(t.TempDir(), "env")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	var file []byte
	for deadline := time.Now().Add(90 * time.Second); file == nil; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("it stopped: %v", err)
		default:
		}
		if b, err := os.ReadFile(o.EnvFile); err == nil {
			file = b
		} else if time.Now().After(deadline) {
			t.Fatal("no env file")
		}
	}
	env := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)='(.*)'$`).FindAllStringSubmatch(string(file), -1) {
		env[m[1]] = m[2]
	}
	for _, name := range []string{"API_URL", "API_KEY", "CTRIP_API_URL", "CTRIP_API_KEY", "OPS_URL", "OPERATOR_TOKEN",
		"RPC_URL", "CHAIN", "TOKEN_SYMBOL", "TOKEN_ADDRESS", "PAYER_PRIVATE_KEY", "PAYER_ADDRESS", "REDIS_URL", "SHOP_URL"} {
		if env[name] == "" {
			t.Errorf("the env file lacks %s", name)
		}
	}
	if st, err := os.Stat(o.EnvFile); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the env file can be read by others: %v, %v", st.Mode(), err)
	}
	for link, header := range map[string]string{
		env["SHOP_URL"]: "", env["API_URL"] + "/portal": "", env["API_URL"] + "/docs": "", env["API_URL"] +
			"/openapi.yaml": "", env["API_URL"]: "", env["SHOP_URL"] + "/favicon.ico": "",
		env["OPS_URL"] + "/queues": env["OPERATOR_TOKEN"], env["OPS_URL"] + "/metrics": "", env["OPS_URL"] + "/healthz": "",
		env["OPS_URL"] + "/readyz":          "",
		env["API_URL"] + "/api/v1/payments": env["API_KEY"],
	} {
		req, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("Authorization", "Bearer "+header)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", link, res.Status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatalf("interrupted: %v", err)
	}
	for _, want := range []string{"portal", "checkout", "queues", "metrics", fmt.Sprintf("%s/docs", env["API_URL"])} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the links lack %q", want)
		}
	}
}
