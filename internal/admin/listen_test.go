package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/app/apptest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestNewListener(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://127.0.0.1:4242/hooks": true, "http://localhost:4242": true, "https://shop.localhost/": true, "http://[::1]:80/": true, "http://127.9.9.9": true,
		"http://192.168.0.7/": false, "http://shop.example/": false, "http://localhost.example/": false, "ftp://127.0.0.1": false, "http://": false, "127.0.0.1:80": false,
	} {
		o := admin.ListenOptions{URL: url, Patterns: []string{"*"}, Attempts: 1}
		if _, err := admin.NewListener(o); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		o.AllowRemote = true
		if _, err := admin.NewListener(o); (err == nil) != (ok || url[:5] == "http:" && len(url) > len("http://")) {
			t.Errorf("%s from afar: %v", url, err)
		}
	}
	for _, o := range []admin.ListenOptions{{URL: "http://127.0.0.1", Patterns: []string{"*", "payment.stolen"},
		Attempts: 1}, {URL: "http://127.0.0.1", Patterns: []string{"*"}}} {
		if _, err := admin.NewListener(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestListener: it begins where it is told, in order, tries each event as often as it may under the same id and with
// the same bytes, and goes on behind one that failed.
func TestListener(t *testing.T) {
	gw := apptest.New(t, testkit.Postgres(t))
	_, key := gw.NewMerchant()
	api, err := client.New(client.Options{URL: gw.URL, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var orders []string
	var middle time.Time
	for i := range 6 {
		if i == 3 {
			time.Sleep(2 * time.Millisecond) // events are stamped in milliseconds
			middle = time.Now().Truncate(time.Millisecond)
		}
		order := fmt.Sprint("A-", i)
		if _, err := api.CreatePayment(t.Context(),
			client.PaymentCreate{Chain: apptest.ChainName, Asset: "native", Amount: new("5"), OrderID: &order}); err != nil {
			t.Fatal(err)
		}
		orders = append(orders, order)
	}
	var ids []string
	stored := map[string]string{}
	for body, err := range api.EventsAfter(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := webhook.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		ids, stored[e.ID] = append(ids, e.ID), string(body)
	}
	if len(ids) != len(orders) {
		t.Fatalf("%d events", len(ids))
	}
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		after    string
		since    time.Time
		patterns []string
		refuse   string // event id
		want     []string
	}{
		{"from the oldest", "0", time.Time{}, []string{"*"}, "", ids},
		{"behind an event", ids[3], time.Time{}, []string{"payment.*"}, "", ids[4:]},
		{"since a time", "", middle, []string{"payment.created"}, "", ids[3:]},
		{"since long ago", "", middle.Add(-time.Hour), []string{"*"}, "", ids},
		{"one that is refused", ids[1], time.Time{}, []string{"*"}, ids[3], []string{ids[2], ids[3], ids[3], ids[4], ids[5]}},
		{"others", "0", time.Time{}, []string{"payment.confirmed"}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			receiver := testkit.NewReceiver(t)
			receiver.Script(func(r testkit.Received) testkit.Answer {
				if r.ID() == c.refuse {
					return testkit.Answer{Status: http.StatusBadGateway}
				}
				return testkit.Answer{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := false
			var told []admin.Forwarded
			l, err := admin.NewListener(admin.ListenOptions{
				API: api, URL: receiver.URL + "/hooks", Patterns: c.patterns, Secret: secret, After: c.after, Since: c.since,
				Attempts: 2, Now: time.Now, OnStart: func() error { began = true; return nil },
				OnAttempt: func(f admin.Forwarded) {
					if told = append(told, f); len(told) == len(c.want) {
						cancel()
					}
				},
				OnUnavailable: func(err error) { t.Error(err) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil {
				time.AfterFunc(2*time.Second, cancel)
			}
			if err := l.Run(ctx); err != nil || !began {
				t.Fatalf("began %v: %v", began, err)
			}
			var got []string
			for _, r := range receiver.All() {
				got = append(got, r.ID())
				if e, err := webhook.Verify(r.Header, r.Body, []webhook.Secret{secret}); err != nil ||
					stored[e.ID] != string(r.Body) {
					t.Errorf("%s: %v", r.ID(), err)
				}
				if want := fmt.Sprint(count(got, r.ID())); r.Header.Get(webhook.HeaderAttempt) != want {
					t.Errorf("%s says attempt %s, want %s", r.ID(), r.Header.Get(webhook.HeaderAttempt), want)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("forwarded %v, want %v", got, c.want)
			}
		})
	}
}

func count(list []string, s string) int {
	n := 0
	for _, v := range list {
		if v == s {
			n++
		}
	}
	return n
}
