package cli

import (
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	barWidth = 30
	// plainEvery is how often a log, which nobody watches, is told how far a long command is.
	plainEvery = 5 * time.Second
)

// progress tells on standard error how far a long command is: over and over in one line where a person watches, in
// plain lines now and then where none does, and not at all beside --json.
type progress struct {
	what    string
	now     func() time.Time
	print   func(string)
	watched bool
	silent  bool

	began, last time.Time
	before      int64 // what was done when it began
	said        string
}

func (sh *shell) progress(what string) *progress {
	p := &progress{what: what, now: time.Now, silent: sh.json, print: func(s string) { fmt.Fprint(sh.err, s) }}
	if f, ok := sh.err.(*os.File); ok {
		info, err := f.Stat()
		p.watched = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// at tells that done of total is done.
func (p *progress) at(done, total int64) {
	if p.silent {
		return
	}
	now := p.now()
	first := p.began.IsZero()
	if first {
		p.began, p.before = now, done
	}
	line := measure(done, total, done-p.before, now.Sub(p.began))
	switch {
	case p.watched:
		p.print("\r" + p.what + " " + bar(done, total) + " " + line + "\x1b[K")
	case (first || now.Sub(p.last) >= plainEvery) && line != p.said:
		p.last, p.said = now, line
		p.print(p.what + " " + line + "\n")
	}
}

// end tells the last of it, and leaves the line.
func (p *progress) end(done, total int64) {
	if p.silent || p.began.IsZero() {
		return
	}
	p.last = time.Time{} // the last line is never left out
	p.at(done, total)
	if p.watched {
		p.print("\n")
	}
}

// bar is "[=====     ]".
func bar(done, total int64) string {
	full := barWidth
	if done < total {
		full = int(done * barWidth / total)
	}
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", barWidth-full) + "]"
}

// measure is "350 of 1200, 29 %, 48/s, 18s left": recent is what was done in the time that it took.
func measure(done, total, recent int64, took time.Duration) string {
	percent := int64(100)
	if done < total {
		percent = done * 100 / total
	}
	line := fmt.Sprintf("%d of %d, %d %%", done, total, percent)
	if recent <= 0 || took < 100*time.Millisecond {
		return line
	}
	rate := float64(recent) / took.Seconds()
	format := ", %.0f/s"
	if rate < 10 {
		format = ", %.1f/s"
	}
	line += fmt.Sprintf(format, rate)
	if done < total {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += ", " + max(left.Round(time.Second), time.Second).String() + " left"
	}
	return line
}
