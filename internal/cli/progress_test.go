package cli

import (
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	type step struct {
		at          time.Duration
		done, total int64
	}
	steps := []step{{0, 100, 1200}, {time.Second, 150, 1200}, {5 * time.Second, 350, 1200}, {6 * time.Second, 400, 1200},
		{22 * time.Second, 1200, 1200}}
	for _, c := range []struct {
		name            string
		watched, silent bool
		want            string
	}{
		{"a log", false, false, "replayed 100 of 1200, 8 %\nreplayed 350 of 1200, 29 %, 50/s, 17s left\nreplayed 1200 of 1200, 100 %, 50/s\n"},
		{"a terminal", true, false, "\rreplayed [==                            ] 100 of 1200, 8 %\x1b[K" +
			"\rreplayed [===                           ] 150 of 1200, 12 %, 50/s, 21s left\x1b[K" +
			"\rreplayed [========                      ] 350 of 1200, 29 %, 50/s, 17s left\x1b[K" +
			"\rreplayed [==========                    ] 400 of 1200, 33 %, 50/s, 16s left\x1b[K" +
			"\rreplayed [==============================] 1200 of 1200, 100 %, 50/s\x1b[K\n"},
		{"JSON", true, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
			began := now
			p := &progress{what: "replayed", now: func() time.Time { return now }, print: func(s string) { out.WriteString(s) },
				watched: c.watched, silent: c.silent}
			for i, s := range steps {
				now = began.Add(s.at)
				if i == len(steps)-1 {
					p.end(s.done, s.total)
				} else {
					p.at(s.done, s.total)
				}
			}
			if out.String() != c.want {
				t.Errorf("got\n%q\nwant\n%q", out.String(), c.want)
			}
		})
	}
	if got := measure(0, 0, 0, 0); got != "0 of 0, 100 %" {
		t.Error(got)
	}
	if got := measure(3, 10, 3, 10*time.Second); got != "3 of 10, 30 %, 0.3/s, 23s left" {
		t.Error(got)
	}
}
