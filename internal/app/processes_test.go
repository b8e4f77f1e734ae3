package app_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/app"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestOneBucketForAllProcesses: what a merchant may ask for is one for all API processes, keys and portal sessions.
// Another merchant's is theirs, at either process.
func TestOneBucketForAllProcesses(t *testing.T) {
	databaseURL, _ := database(t, true)
	redis := testkit.Redis(t)
	one := settings(t, databaseURL, redis)
	const burst = 30
	one.API.Rate, one.API.Burst = 0.01, burst
	two := one
	two.APIAddr, two.OpsAddr = testkit.FreeAddr(t), testkit.FreeAddr(t)
	key, other := newMerchant(t, one), newMerchant(t, one)
	for _, cfg := range []config.Config{one, two} {
		startAPI(t, cfg)
	}
	get := func(addr, key string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/api/v1/merchant", nil)
		noError(t, err)
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := oneRequest().Do(r)
		noError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
	page := portal(t, two.APIAddr, one.PublicURL, key)
	answers := map[int]int{}
	for i := range burst + 10 {
		switch i % 3 {
		case 0:
			answers[get(one.APIAddr, key)]++
		case 1:
			answers[get(two.APIAddr, key)]++
		case 2:
			answers[page()]++
		}
	}
	// One is for the page that sign-in leads to, if that is counted; a request each 100 seconds is let through.
	if ok := answers[http.StatusOK]; ok < burst-2 || ok > burst+2 || ok+answers[http.StatusTooManyRequests] != burst+10 {
		t.Errorf("%v of a burst of %d over both processes", answers, burst)
	}
	for _, cfg := range []config.Config{one, two} {
		if got := get(cfg.APIAddr, other); got != http.StatusOK {
			t.Errorf("another merchant: %d", got)
		}
	}
}

// startAPI runs an API process until the test ends.
func startAPI(t *testing.T, cfg config.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	a, err := app.New(ctx, cfg, app.Options{Roles: app.API, Logger: discard})
	noError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	testkit.Eventually(t, time.Minute, "the API answers", func() bool {
		res, err := oneRequest().Get("http://" + cfg.APIAddr + "/")
		if err != nil {
			return false
		}
		res.Body.Close()
		return true
	})
}

// portal signs in at a process and returns what asks for a page of the portal there.
func portal(t *testing.T, addr, origin, key string) (page func() int) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	noError(t, err)
	client := oneRequest()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/portal/sign-in",
		strings.NewReader(url.Values{"key": {key}}.Encode()))
	noError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", origin)
	res, err := client.Do(r)
	noError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	noError(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %d", res.StatusCode)
	}
	return func() int {
		res, err := client.Get("http://" + addr + "/portal/payments")
		noError(t, err)
		res.Body.Close()
		return res.StatusCode
	}
}
