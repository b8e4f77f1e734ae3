package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

const patience = 30 * time.Second

// gateway runs the quickstart until the test ends, and returns what its env file says.
func gateway(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	cmd := exec.Command(filepath.Join(testkit.Programs(t, "./cmd/quickstart"), "quickstart"), "--env-file", file,
		"--api-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--rpc-addr", "127.0.0.1:0")
	child, err := testkit.StartChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Stop(20 * time.Second) })
	testkit.Eventually(t, 2*time.Minute, "the quickstart has told its story", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = strings.Trim(value, "'")
		}
	}
	return env
}

// tab is a tab of the browser, with what went wrong in it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	mu     sync.Mutex
	faults []string
	bytes  float64
	shots  string
}

// chromium starts a browser that ends with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	return ctx
}

// open makes a tab.
func open(t *testing.T, browser context.Context, before ...string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, shots: os.Getenv("BROWSER_SHOTS")}
	chromedp.ListenTarget(ctx, b.hear)
	b.do(network.Enable(), log.Enable())
	for _, script := range before {
		b.do(chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(script).Do(ctx)
			return err
		}))
	}
	return b
}

// hear notes what a page complains about.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "exception: "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			for _, arg := range e.Args {
				b.faults = append(b.faults, "console: "+string(arg.Value)+arg.Description)
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			b.faults = append(b.faults, fmt.Sprintf("log: %s %s", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.faults = append(b.faults, fmt.Sprintf("%d for %s", e.Response.Status, e.Response.URL))
		}
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	}
}

// do does actions, within the patience of a test.
func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.try(actions...); err != nil {
		var body string
		_ = b.try(chromedp.Location(&body))
		b.t.Fatalf("at %s: %v; %v", body, err, b.faults)
	}
}

func (b *tab) try(actions ...chromedp.Action) error {
	if chromedp.FromContext(b.ctx).Target == nil { // the first run opens the tab, whose life is the context's
		if err := chromedp.Run(b.ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}

// sees waits until the page has a text, without loading it anew.
func (b *tab) sees(text string) {
	b.t.Helper()
	testkit.Eventually(b.t, patience, fmt.Sprintf("%q is on the page", text), func() bool {
		var body string
		return b.try(chromedp.Evaluate("document.body.innerText", &body)) == nil &&
			strings.Contains(strings.ToLower(body), strings.ToLower(text))
	})
}

// healthy fails when the page complained about something, or is wider than its screen.
func (b *tab) healthy(name string) {
	b.t.Helper()
	var wide string
	b.do(chromedp.Evaluate(`(() => {
		const root = document.documentElement, most = root.clientWidth;
		if (root.scrollWidth <= most) return "";
		const out = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > most + 1);
		return root.scrollWidth + " of " + most + ": " + out.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(" | ");
	})()`, &wide))
	if wide != "" {
		b.t.Errorf("%s is wider than its screen: %s", name, wide)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		b.t.Errorf("%s: %s", name, fault)
	}
	b.faults = nil
}

// as sets the size of the screen and its colours.
func (b *tab) as(width int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}}))
}

// picture writes a picture of what is on the screen to BROWSER_SHOTS, where that is set.
func (b *tab) picture(name string) {
	b.t.Helper()
	if b.shots == "" {
		return
	}
	var picture []byte
	b.do(chromedp.CaptureScreenshot(&picture))
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
