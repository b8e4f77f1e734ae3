package config

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func key(seed byte) string {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = seed + byte(i)*7
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func devChain() []Chain {
	return []Chain{{
		Name: "anvil", ChainID: 31337, RPCURLs: []URL{"http://127.0.0.1:8545"}, Finality: Finality{Depth: 2},
		PollInterval: time.Second, BlockTime: time.Second, Native: Native{Symbol: "ETH", Decimals: 18},
	}}
}

// good is a production environment without fault; extra entries win over it, an empty value takes one away.
func good(extra ...string) []string {
	return append([]string{
		"ENV=production",
		"DATABASE_URL=postgres://gateway:Zt8-kqLw2vR@db.internal:5432/ctrip?sslmode=verify-full",
		"REDIS_URL=rediss://:p9XmV4uTqE@cache.internal:6379/1",
		"MASTER_KEYS=k1:" + key(3),
		"OPERATOR_TOKEN=vG6sN1qXb8ZrT4mYw0LkHj3PdCfUeA7o",
		"PUBLIC_URL=https://pay.shop.test/",
	}, extra...)
}

func fieldErrorsOf(t *testing.T, err error) *FieldErrors {
	t.Helper()
	var errs *FieldErrors
	if !errors.As(err, &errs) {
		t.Fatalf("want *FieldErrors, got %v", err)
	}
	return errs
}

func names(f *FieldErrors) string {
	var list []string
	for _, fault := range f.All {
		list = append(list, fault.Name)
	}
	return strings.Join(list, " ")
}

func TestLoadDefaults(t *testing.T) {
	c, err := Load(Options{Process: ProcessAPI, Environ: good(), Chains: devChain()})
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicURL != "https://pay.shop.test" || c.OpsAddr != "127.0.0.1:9090" || c.APIAddr != "127.0.0.1:8080" {
		t.Errorf("addresses: %s %s %s", c.PublicURL, c.OpsAddr, c.APIAddr)
	}
	w := c.Webhook
	if w.Timeout != 10*time.Second || w.MaxAttempts != 15 || w.RetryBase != 5*time.Second || w.RetryFactor != 3 ||
		w.RetryMax != 12*time.Hour || w.RetryJitter != 0.2 {
		t.Errorf("webhook defaults: %+v", w)
	}
	if c.API.Rate != 100 || c.API.Burst != 500 || c.API.MaxEndpoints != 20 || c.API.MaxKeys != 20 ||
		c.API.MaxOpenPayments != 10000 {
		t.Errorf("limits: %+v", c.API)
	}
	if c.ShutdownGrace != 45*time.Second || c.Payments.MonitoringWindow != 24*time.Hour ||
		c.Payments.ExpiresIn != 30*time.Minute {
		t.Errorf("times: %v %+v", c.ShutdownGrace, c.Payments)
	}
	if len(c.MasterKeys) != 1 || c.MasterKeys[0].ID != "k1" || c.MasterKeys[0].Key[1] != 10 {
		t.Errorf("master keys: %d", len(c.MasterKeys))
	}
	if !c.Redis.Server.TLS || c.Redis.Server.DB != 1 || c.Redis.Server.Password.Reveal() != "p9XmV4uTqE" {
		t.Errorf("redis: %v", c.Redis.Server)
	}
	for process, want := range map[string]string{ProcessWorker: "127.0.0.1:9091", ProcessScanner: "127.0.0.1:9092",
		ProcessCtl: ""} {
		c, err := Load(Options{Process: process, Environ: good(), Chains: devChain()})
		if err != nil || c.OpsAddr != want {
			t.Errorf("%s: ops %q, %v", process, c.OpsAddr, err)
		}
	}
}

func TestLoadFaults(t *testing.T) {
	const phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
	const xprv = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
	cases := []struct {
		name  string
		extra []string
		want  string // the names at fault, in order
	}{
		{"nothing", nil, ""},
		{"unparsable", []string{"WEBHOOK_TIMEOUT=soon", "DB_MAX_OPEN_CONNS=many", "MASTER_KEYS=k1:AAAA,!:x"}, "MASTER_KEYS DB_MAX_OPEN_CONNS WEBHOOK_TIMEOUT"},
		{"enumerations", []string{"ENV=prod", "LOG_LEVEL=loud", "LOG_FORMAT=xml"}, "ENV LOG_LEVEL LOG_FORMAT"},
		{"missing", []string{"DATABASE_URL=", "REDIS_URL=", "MASTER_KEYS=", "OPERATOR_TOKEN="}, "MASTER_KEYS OPERATOR_TOKEN DATABASE_URL REDIS_URL"},
		{"short token", []string{"OPERATOR_TOKEN=short-token"}, "OPERATOR_TOKEN"},
		{"default token", []string{"OPERATOR_TOKEN=changeme-operator-token-of-32-characters"}, "OPERATOR_TOKEN"},
		{"made-up token", []string{"OPERATOR_TOKEN=abababababababababababababababababab"}, "OPERATOR_TOKEN"},
		{"zero key", []string{"MASTER_KEYS=k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "MASTER_KEYS"},
		{"default passwords", []string{"DATABASE_URL=postgres://postgres:postgres@db/ctrip", "REDIS_URL=redis://:changeme@cache"}, "DATABASE_URL REDIS_URL"},
		{"default password in query", []string{"DATABASE_URL=postgres://db/ctrip?password=postgres"}, "DATABASE_URL"},
		{"repeated", []string{"REDIS_URL=redis://:Zt8-kqLw2vR@cache"}, "REDIS_URL"},
		{"repeated as base64", []string{"OPERATOR_TOKEN=" + key(3)}, "MASTER_KEYS"},
		{"repeated key", []string{"MASTER_KEYS=k1:" + key(3) + ",k2:" + key(3)}, "MASTER_KEYS"},
		{"same key id", []string{"MASTER_KEYS=k1:" + key(3) + ",k1:" + key(9)}, "MASTER_KEYS"},
		{"plain http", []string{"PUBLIC_URL=http://pay.shop.test", "WEBHOOK_URL=http://shop.test/hook"}, "PUBLIC_URL WEBHOOK_URL WEBHOOK_SECRET"},
		{"unsigned", []string{"WEBHOOK_URL=https://shop.test/hook"}, "WEBHOOK_SECRET"},
		{"short webhook secret", []string{"WEBHOOK_URL=https://shop.test/hook", "WEBHOOK_SECRET=whsec_AAAA"}, "WEBHOOK_SECRET"},
		{"signed", []string{"WEBHOOK_URL=https://shop.test/hook", "WEBHOOK_SECRET=whsec_" + key(77)}, ""},
		{"sqlite", []string{"DATABASE_URL=sqlite://ctrip.db"}, "DATABASE_URL"},
		{"mysql", []string{"DATABASE_URL=mysql://db/ctrip"}, "DATABASE_URL"},
		{"migrations by the same role", []string{"DATABASE_MIGRATE_URL=postgres://gateway:Zt8-kqLw2vR@10.0.0.9/ctrip"}, ""},
		{"migrations with a default password", []string{"DATABASE_MIGRATE_URL=postgres://owner:postgres@db/ctrip"}, "DATABASE_MIGRATE_URL"},
		{"migrations elsewhere", []string{"DATABASE_MIGRATE_URL=mysql://db/ctrip"}, "DATABASE_MIGRATE_URL"},
		{"ambiguous password", []string{"DATABASE_URL=postgres://u:pa/ss@db/ctrip"}, "DATABASE_URL"},
		{"grace", []string{"SHUTDOWN_GRACE=10s"}, "SHUTDOWN_GRACE"},
		{"ranges", []string{"WEBHOOK_TIMEOUT=31s", "WEBHOOK_RETRY_JITTER=1", "WEBHOOK_LANES=0", "ADDRESS_BRANCH=2147483648"}, "ADDRESS_BRANCH WEBHOOK_TIMEOUT WEBHOOK_RETRY_JITTER WEBHOOK_LANES"},
		{"not numbers", []string{"OTEL_TRACES_SAMPLER_ARG=NaN", "WEBHOOK_RETRY_FACTOR=+Inf"}, "WEBHOOK_RETRY_FACTOR OTEL_TRACES_SAMPLER_ARG"},
		{"listeners", []string{"API_ADDR=8080", "OPS_ADDR=nowhere:port"}, "API_ADDR OPS_ADDR"},
		{"same listener", []string{"OPS_ADDR=127.0.0.1:8080"}, "OPS_ADDR"},
		{"egress", []string{"EGRESS_PROXY=ftp://proxy", "EGRESS_IPS=198.51.100.7,shop.test"}, "EGRESS_PROXY EGRESS_IPS"},
		{"proxies", []string{"TRUSTED_PROXIES=10.0.0.0/8,2001:db8::7,fe80::1%eth0"}, "TRUSTED_PROXIES"},
		{"good proxies", []string{"TRUSTED_PROXIES=10.0.0.0/8,2001:db8::7"}, ""},
		{"private key by name", []string{"PAYER_PRIVATE_KEY=1", "Wallet_Mnemonic=1", "EMPTY_PRIVATE_KEY="}, "PAYER_PRIVATE_KEY Wallet_Mnemonic"},
		{"xprv", []string{"WEBHOOK_ALLOW=" + xprv}, "WEBHOOK_ALLOW"},
		{"xprv in any variable", []string{"WALLET=" + xprv}, "WALLET"},
		{"mnemonic", []string{"WALLET=" + phrase}, "WALLET"},
		{"mnemonic in a sentence", []string{"NOTE=my phrase: " + strings.ToUpper(phrase) + "."}, "NOTE"},
		{"eleven words", []string{"NOTE=" + strings.TrimSuffix(phrase, " yellow")}, ""},
		{"raw key", []string{"OPERATOR_TOKEN=0x" + strings.Repeat("4c0883a69102937d", 4)}, "OPERATOR_TOKEN"},
		{"pem", []string{"WEBHOOK_SECRET=-----BEGIN EC PRIVATE KEY-----\nabc"}, "WEBHOOK_SECRET"},
		{"client key of Redis", []string{"REDIS_URL=rediss://:Xq2-kqLw2vR@cache", "REDIS_CA=x", "REDIS_CERT=x", "REDIS_KEY=-----BEGIN PRIVATE KEY-----\nabc"}, ""},
		{"client key without its certificate", []string{"REDIS_KEY=-----BEGIN PRIVATE KEY-----\nabc"}, "REDIS_CERT"},
		{"certificates without TLS", []string{"REDIS_URL=redis://:Xq2-kqLw2vR@cache", "REDIS_CA=x"}, "REDIS_CA"},
		{"anybody's certificate", []string{"REDIS_URL=rediss-cluster://:Xq2-kqLw2vR@cache?insecure_skip_verify=true"}, "REDIS_URL"},
		{"key of a chain as that of Redis", []string{"REDIS_CERT=x", "REDIS_KEY=0x" + strings.Repeat("4c0883a69102937d", 4)}, "REDIS_KEY"},
		{"everything at once", []string{"PUBLIC_URL=http://x.test", "OPERATOR_TOKEN=short", "REDIS_URL=nonsense", "WEBHOOK_LANES=x", "A_PRIVATE_KEY=1"},
			"A_PRIVATE_KEY REDIS_URL WEBHOOK_LANES PUBLIC_URL OPERATOR_TOKEN"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(Options{Process: ProcessWorker, Environ: good(tc.extra...), Chains: devChain()})
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			errs := fieldErrorsOf(t, err)
			if got := names(errs); got != tc.want {
				t.Errorf("at fault: %s\nwant:     %s\n%v", got, tc.want, err)
			}
		})
	}
}

func TestDevelopmentIsLenient(t *testing.T) {
	environ := good("ENV=development", "PUBLIC_URL=", "WEBHOOK_URL=http://127.0.0.1:4000/hook", "SHUTDOWN_GRACE=1s",
		"OPERATOR_TOKEN=changeme", "DATABASE_URL=postgres://postgres:postgres@127.0.0.1/ctrip")
	c, err := Load(Options{Process: ProcessAPI, Environ: environ, Chains: devChain()})
	if err != nil {
		t.Fatal(err)
	}
	if c.IsProduction() || c.PublicURL != "http://127.0.0.1:8080" {
		t.Errorf("got %v %s", c.IsProduction(), c.PublicURL)
	}
}

func TestQuickstartMayUseSQLiteAndSeeAPayerKey(t *testing.T) {
	environ := good("ENV=development", "DATABASE_URL=sqlite:///tmp.db", "PAYER_PRIVATE_KEY=1")
	if _, err := Load(Options{Process: ProcessQuickstart, AllowSQLite: true, Environ: environ,
		Chains: devChain()}); err != nil {
		t.Fatal(err)
	}
}

func TestCtlNeedsOnlyWhatACommandAsksFor(t *testing.T) {
	c, err := Load(Options{Process: ProcessCtl, Environ: []string{"DATABASE_URL=postgres://db/ctrip"}, Chains: devChain()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Need("DATABASE_URL"); err != nil {
		t.Fatal(err)
	}
	if got := names(fieldErrorsOf(t, c.Need("MASTER_KEYS", "REDIS_URL"))); got != "MASTER_KEYS REDIS_URL" {
		t.Errorf("needs %s", got)
	}
	_, err = Load(Options{Process: ProcessCtl, Environ: []string{"ENV=test"}})
	if got := names(fieldErrorsOf(t, err)); got != "DATABASE_URL" {
		t.Errorf("at fault: %s", got)
	}
}

func TestFileForms(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := "vG6sN1qXb8ZrT4mYw0LkHj3PdCfUeA7o"
	c, err := Load(Options{Process: ProcessAPI, Chains: devChain(),
		Environ: good("OPERATOR_TOKEN=", "OPERATOR_TOKEN_FILE="+write("token", token+"\r\n"))})
	if err != nil || c.OperatorToken.Reveal() != token {
		t.Fatalf("got %q, %v", c.OperatorToken.Reveal(), err)
	}
	// Every variable has the form, durations and lists included.
	for _, v := range variables() {
		_, err := Load(Options{Process: ProcessAPI, Chains: devChain(),
			Environ: good(v.Name+"=", v.Name+"_FILE="+write(v.Name, "\n"))})
		if !fieldErrorsOf(t, err).Has(v.Name + "_FILE") {
			t.Errorf("%s_FILE is not read", v.Name)
		}
	}
	_, err = Load(Options{Process: ProcessAPI, Chains: devChain(), Environ: good(
		"OPERATOR_TOKEN_FILE="+write("again", token), "MASTER_KEYS=", "MASTER_KEYS_FILE="+filepath.Join(dir, "missing"))})
	if got := names(fieldErrorsOf(t, err)); got != "MASTER_KEYS_FILE OPERATOR_TOKEN" {
		t.Errorf("at fault: %s\n%v", got, err)
	}
	_, err = Load(Options{Process: ProcessAPI, Chains: devChain(), Environ: good("MASTER_KEYS=", "MASTER_KEYS_FILE="+dir)})
	if got := names(fieldErrorsOf(t, err)); got != "MASTER_KEYS_FILE" {
		t.Errorf("a directory: %s", got)
	}
	_, err = Load(Options{Process: ProcessAPI, Chains: devChain(),
		Environ: good("WEBHOOK_ALLOW_FILE=" + write("phrase", strings.Repeat("abandon ", 12)))})
	if got := names(fieldErrorsOf(t, err)); got != "WEBHOOK_ALLOW" {
		t.Errorf("a mnemonic in a file: %s", got)
	}
}

func TestDotEnvIsForDevelopmentAndWeakerThanTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.env")
	if err := os.WriteFile(path, []byte("LOG_LEVEL=debug\nLOG_FORMAT=text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(env string) Config {
		t.Helper()
		c, err := Load(Options{Process: ProcessAPI, DotEnv: path, Chains: devChain(),
			Environ: good("ENV="+env, "LOG_FORMAT=json")})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load("development"); c.LogLevel != "debug" || c.LogFormat != "json" {
		t.Errorf("development: %s %s", c.LogLevel, c.LogFormat)
	}
	if c := load("production"); c.LogLevel != "info" {
		t.Errorf("production read .env: %s", c.LogLevel)
	}
	for _, env := range []string{"production", "test", "prod"} {
		claims := filepath.Join(t.TempDir(), "claims.env")
		if err := os.WriteFile(claims, []byte("ENV="+env+"\nLOG_LEVEL=debug\nOPERATOR_TOKEN=short\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(Options{Process: ProcessAPI, DotEnv: claims, Chains: devChain(), Environ: good("ENV=")})
		if got := names(fieldErrorsOf(t, err)); got != claims {
			t.Errorf("a file that sets ENV=%s: at fault: %s\n%v", env, got, err)
		}
		if c, err := Load(Options{Process: ProcessAPI, DotEnv: claims, Chains: devChain(),
			Environ: good("ENV=production")}); err != nil || c.LogLevel != "info" {
			t.Errorf("production read a file that sets ENV=%s: %s, %v", env, c.LogLevel, err)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken.env")
	if err := os.WriteFile(broken, []byte("OPERATOR_TOKEN=\"hunter2-hunter2\nX"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Options{Process: ProcessAPI, DotEnv: broken, Chains: devChain(), Environ: good("ENV=development")})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestChainsFileIsReadWhenNeeded(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for process, want := range map[string]bool{ProcessAPI: true, ProcessScanner: true, ProcessWorker: true} {
		_, err := Load(Options{Process: process, Environ: good("CHAINS_FILE=" + missing)})
		if (err != nil) != want {
			t.Errorf("%s with a named missing file: %v", process, err)
		}
	}
	if _, err := Load(Options{Process: ProcessWorker, Environ: good()}); err != nil {
		t.Errorf("worker without a chains file: %v", err)
	}
	c, err := Load(Options{Process: ProcessAPI, Environ: good("CHAINS_FILE=../chains.example.yaml")})
	if err != nil || len(c.Chains) != 5 || len(c.Warnings) != 0 {
		t.Errorf("%d chains, %v, %v", len(c.Chains), c.Warnings, err)
	}
	c, err = Load(Options{Process: ProcessAPI, Environ: good("CHAINS_FILE=../deploy/chains.dev.yaml")})
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "http://anvil:8545") {
		t.Errorf("%v, %v", c.Warnings, err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"180d": 4320 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0,
		"90s": 90 * time.Second, "10ms": 10 * time.Millisecond} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1w", "10", "1d-2h", "1d+2h", "999999d", "1d2d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestLoadCaller: a merchant's own settings are read by themselves, whatever else his environment holds.
func TestLoadCaller(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("ck_test_from_a_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		environ []string
		url     string
		want    Caller
		errs    string
	}{
		{[]string{"CTRIP_API_KEY=ck_test_a", "LOG_LEVEL=silly", "DATABASE_URL=mysql://x"}, "", Caller{"http://127.0.0.1:8080", "ck_test_a"}, ""},
		{[]string{"CTRIP_API_KEY_FILE=" + file, "CTRIP_API_URL=https://pay.example"}, "", Caller{"https://pay.example", "ck_test_from_a_file"}, ""},
		{[]string{"CTRIP_API_KEY=ck_test_a", "CTRIP_API_URL=https://pay.example"}, "http://127.0.0.1:1", Caller{"http://127.0.0.1:1", "ck_test_a"}, ""},
		{[]string{"CTRIP_API_URL=pay.example"}, "", Caller{}, "CTRIP_API_URL CTRIP_API_KEY"},
		{[]string{"CTRIP_API_KEY=ck_test_a", "CTRIP_API_URL=https://pay.example/api/v1/"}, "", Caller{}, "CTRIP_API_URL"},
		{[]string{"CTRIP_API_KEY=ck_test_a", "CTRIP_API_KEY_FILE=" + file}, "https://u:p@pay.example", Caller{}, "CTRIP_API_KEY --api-url"},
		{[]string{"CTRIP_API_KEY_FILE=/nowhere"}, "", Caller{}, "CTRIP_API_KEY_FILE"},
	} {
		got, err := LoadCaller(Options{Environ: append([]string{"ENV=test"}, c.environ...)}, c.url)
		if c.errs == "" && (err != nil || got != c.want) {
			t.Errorf("%v: %+v, %v", c.environ, got, err)
		}
		if c.errs != "" &&
			(err == nil || names(fieldErrorsOf(t, err)) != c.errs || strings.Contains(err.Error(), "ck_test")) {
			t.Errorf("%v: %v", c.environ, err)
		}
	}
}
