package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ctrip-gateway/ctrip/internal/app/apptest"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// hookSecret is what the receiver of a script verifies with.
const hookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// online is the world of a script that calls the API: a gateway, and a receiver that believes only what it has
// verified.
type online struct {
	t        *testing.T
	gateway  *apptest.Gateway
	receiver *httptest.Server
	secrets  []webhook.Secret

	mu       sync.Mutex
	fail     int // answers that are 500 before it takes an event
	got      []webhook.Event
	attempts []string
}

func newOnline(t *testing.T, databaseURL string) *online {
	o := &online{t: t, gateway: apptest.New(t, databaseURL)}
	secret, err := webhook.ParseSecret(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	o.secrets = []webhook.Secret{secret}
	hook, err := webhook.Handler(http.HandlerFunc(o.receive), webhook.Options{Secrets: o.secrets})
	if err != nil {
		t.Fatal(err)
	}
	o.receiver = httptest.NewServer(hook)
	t.Cleanup(o.receiver.Close)
	return o
}

// receive takes an event that the middleware has verified by webhook-signature, and refuses what it was told to. The
// older signature has to fit too.
func (o *online) receive(w http.ResponseWriter, r *http.Request) {
	e, _ := webhook.FromContext(r.Context())
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = webhook.VerifyBody(r.Header, body, o.secrets)
	}
	if err != nil || r.Header.Get("User-Agent") != webhook.UserAgent || r.Header.Get("Traceparent") == "" {
		o.t.Errorf("%s: %v, headers %v", e.ID, err, r.Header)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts = append(o.attempts, e.ID+" "+r.Header.Get(webhook.HeaderAttempt))
	if o.fail > 0 {
		o.fail--
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	}
	o.got = append(o.got, e)
}

// setup gives a script what a merchant has: a URL and a key, and no database.
func (o *online) setup(env *testscript.Env) {
	id, key := o.gateway.NewMerchant()
	for name, value := range map[string]string{
		"DATABASE_URL": "", "MASTER_KEYS": "", "CTRIP_API_URL": o.gateway.URL, "CTRIP_API_KEY": key, "MERCHANT": id, "RECEIVER": o.receiver.URL,
		"HOOK_SECRET": hookSecret,
	} {
		env.Setenv(name, value)
	}
}

// gatewayCmd is `gateway stop` and `gateway start`.
func (o *online) gatewayCmd(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && slices.Equal(args, []string{"stop"}):
		o.gateway.Stop()
	case !neg && slices.Equal(args, []string{"start"}):
		o.gateway.Start()
	default:
		ts.Fatalf("usage: gateway stop|start")
	}
}

// receiverCmd is `receiver fail N`, and `receiver got TYPE N`, which waits until N verified events of a type have been
// taken, and fails if there are more.
func (o *online) receiverCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: receiver fail N | got TYPE N")
	}
	n, err := strconv.Atoi(args[len(args)-1])
	ts.Check(err)
	if args[0] == "fail" {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.fail = n
		return
	}
	count := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		found := 0
		for _, e := range o.got {
			if string(e.Type) == args[1] {
				found++
			}
		}
		return found
	}
	for deadline := time.Now().Add(30 * time.Second); count() < n && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if found := count(); found != n {
		ts.Fatalf("%d events of type %s were verified, want %d; attempts: %s", found, args[1], n,
			strings.Join(o.attempts, ", "))
	}
}

// waitFor FILE TEXT waits until a file, into which a command prints that still runs, holds a text.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	var content []byte
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		content, _ = os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		if strings.Contains(string(content), args[1]) {
			return
		}
	}
	ts.Fatalf("%s never held %q:\n%s", args[0], args[1], content)
}
