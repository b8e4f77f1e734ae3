package test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// stranger is a program in another language that answers a line with a line.
type stranger struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func startStranger(t *testing.T, name string, args ...string) *stranger {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = "conformance", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: `make setup` finds or installs it", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	s := &stranger{t, in, bufio.NewScanner(out)}
	s.out.Buffer(nil, 1<<20)
	return s
}

// ask sends a question and reads the answer, by the name of the library.
func ask[T any](s *stranger, question any) map[string]T {
	s.t.Helper()
	line, err := json.Marshal(question)
	if err == nil {
		_, err = s.in.Write(append(line, '\n'))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var answer map[string]T
	if !s.out.Scan() {
		s.t.Fatalf("no answer: %v (are the modules there? `make setup`)", s.out.Err())
	}
	if err := json.Unmarshal(s.out.Bytes(), &answer); err != nil || len(answer) == 0 {
		s.t.Fatalf("%s: %v", s.out.Bytes(), err)
	}
	return answer
}

type toVerify struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
}

// TestStrangersVerifyOurs: the official libraries for Node.js and ten lines of Python verify our requests unchanged,
// with each live secret, Ed25519 signatures beside them, and refuse all that is not ours or not of now.
func TestStrangersVerifyOurs(t *testing.T) {
	strangers := []*stranger{startStranger(t, "node", "libraries.mjs"), startStranger(t, "python3", "stdlib.py")}
	current, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	brought, err := webhook.ParseSecret("a secret of our own, ünïcode and all")
	if err != nil {
		t.Fatal(err)
	}
	key, err := webhook.NewSigningKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	bodies := goldenBodies(t)
	bodies["beyond ASCII"] = []byte(`{"id":"evt_1","memo":"café ☕ 支付 <&> \u2028"}`)
	bodies["empty object"] = []byte(`{}`)
	for name, body := range bodies {
		now := time.Now()
		live := webhook.Secrets{Current: current, Previous: []webhook.Secret{brought}, SigningKeys: []webhook.SigningKey{key}}
		headers := func(at time.Time, live webhook.Secrets) map[string]string {
			h := http.Header{}
			live.SetHeaders(h, "evt_1", at, 1, body)
			flat := map[string]string{}
			for k := range h {
				flat[strings.ToLower(k)] = h.Get(k)
			}
			return flat
		}
		for what, c := range map[string]struct {
			v    toVerify
			want bool
		}{
			"current":        {toVerify{current.RevealStandard(), headers(now, live), body}, true},
			"previous":       {toVerify{brought.RevealStandard(), headers(now, live), body}, true},
			"almost too old": {toVerify{current.RevealStandard(), headers(now.Add(-290*time.Second), live), body}, true},
			"a stranger's":   {toVerify{other.RevealStandard(), headers(now, live), body}, false},
			"too old":        {toVerify{current.RevealStandard(), headers(now.Add(-302*time.Second), live), body}, false},
			"ahead":          {toVerify{current.RevealStandard(), headers(now.Add(303*time.Second), live), body}, false},
			"another body":   {toVerify{current.RevealStandard(), headers(now, live), append([]byte(" "), body...)}, false},
		} {
			for _, s := range strangers {
				for library, got := range ask[bool](s, map[string]toVerify{"verify": c.v}) {
					if got != c.want {
						t.Errorf("%s, %s: %s says %v", name, what, library, got)
					}
				}
			}
		}
	}
}

// TestWeVerifyStrangers: what the official libraries sign is what we sign, and we verify it.
func TestWeVerifyStrangers(t *testing.T) {
	node := startStranger(t, "node", "libraries.mjs")
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, body := range goldenBodies(t) {
		e, err := webhook.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		question := map[string]any{"secret": secret.RevealStandard(), "id": e.ID, "timestamp": now.Unix(), "body": body}
		for library, signature := range ask[string](node, map[string]any{"sign": question}) {
			if ours := webhook.Sign(secret, e.ID, now, body); ours != signature {
				t.Errorf("%s: %s signs %s, we %s", name, library, signature, ours)
			}
			h := http.Header{}
			webhook.Secrets{Current: secret}.SetHeaders(h, e.ID, now, 1, body)
			h.Set(webhook.HeaderStandardSignature, signature)
			if _, err := webhook.Verify(h, body, []webhook.Secret{secret}); err != nil {
				t.Errorf("%s by %s: %v", name, library, err)
			}
		}
	}
}

func goldenBodies(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../webhook/testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d golden bodies, %v", len(files), err)
	}
	bodies := make(map[string][]byte)
	for _, f := range files {
		if filepath.Base(f) == "proof.json" { // no event
			continue
		}
		if bodies[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return bodies
}
