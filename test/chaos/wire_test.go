package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func command(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// through reads messages until the text ends, and returns what would be passed on.
func through(t *testing.T, next func(*bufio.Reader) ([]byte, func(), error), text string) (
	passed string, afters []func(), err error) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	var all bytes.Buffer
	for {
		message, after, err := next(r)
		all.Write(message)
		if after != nil {
			afters = append(afters, after)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return all.String(), afters, err
		}
	}
}

const queue = "asynq:{wh:0}:"

var (
	dequeue = command("evalsha", "sha", "4", queue+"pending", queue+"paused", queue+"active", queue+"lease", "1",
		queue+"t:")
	done = func(id string) string {
		return command("EVALSHA", "sha", "3", queue+"active", queue+"lease", queue+"t:"+id, id)
	}
	retry = func(id string) string {
		return command("EVALSHA", "sha", "4", queue+"t:"+id, queue+"active", queue+"lease", queue+"retry", id)
	}
	message = func(id string) string {
		return bulk("\x0a\x0csend_webhook\x12{\"delivery_id\":\"x\"}\x1a\x10" + id + "\x22")
	}
)

func TestRedisWire(t *testing.T) {
	var points breakpoints
	taken := newTasks()
	w := newRedisWire(&points, taken, "worker")
	var caught []string
	hit := points.Set(taskTaken, "worker", 2, func(whose string) { caught = append(caught, whose) })

	sent := command("HELLO", "3") + dequeue + dequeue + dequeue + command("PING")
	if passed, _, err := through(t, w.up, sent); err != nil || passed != sent {
		t.Fatalf("%q, %v", passed, err)
	}
	answers := "%1\r\n+proto\r\n:3\r\n" + "_\r\n" + message("dlv_a:1") + "-NOSCRIPT No matching script.\r\n" + "+PONG\r\n"
	if passed, _, err := through(t, w.down, answers); err != nil || passed != answers {
		t.Fatalf("%q, %v", passed, err)
	}
	if !taken.Has("dlv_a") || len(caught) != 0 {
		t.Fatalf("one task taken: %v, caught %v", taken.Work(), caught)
	}
	through(t, w.up, dequeue)
	through(t, w.down, message("dlv_b:7"))
	<-hit
	if !slices.Equal(caught, []string{"worker"}) {
		t.Errorf("caught %v", caught)
	}
	through(t, w.up, retry("dlv_b:7")+command("EVALSHA", "sha", "2", queue+"t:dlv_c:1", queue+"pending", "x")+
		command("DEL", queue+"t:dlv_a:1"))
	if work := taken.Work(); !slices.Equal(work.Held, []string{"dlv_a", "dlv_b"}) ||
		!slices.Equal(work.Active, []string{"dlv_a"}) {
		t.Errorf("after a retry: %+v", work)
	}
	through(t, w.up, done("dlv_a:1"))
	if work := taken.Close(); !slices.Equal(work.Held, []string{"dlv_b"}) || len(work.Active) != 0 {
		t.Errorf("after an ack: %+v", work)
	}
	if work := taken.Work(); len(work.Held) != 0 {
		t.Errorf("after its end: %+v", work)
	}
}

// TestRedisWireOfSeveral: one script takes several tasks, says that several are done, or hands several back.
func TestRedisWireOfSeveral(t *testing.T) {
	taken := newTasks()
	w := newRedisWire(&breakpoints{}, taken, "worker")
	through(t, w.up, dequeue)
	answer := "*6\r\n"
	for _, id := range []string{"dlv_a:1", "dlv_b:2", "dlv_c:1"} {
		answer += bulk(id) + message(id)
	}
	if passed, _, err := through(t, w.down, answer); err != nil || passed != answer {
		t.Fatalf("%q, %v", passed, err)
	}
	if work := taken.Work(); !slices.Equal(work.Active, []string{"dlv_a", "dlv_b", "dlv_c"}) {
		t.Errorf("taken: %+v", work)
	}
	through(t, w.up, command("EVALSHA", "sha", "6", queue+"active", queue+"lease", queue+"processed:2026-01-01",
		queue+"processed", queue+"t:dlv_a:1", queue+"t:dlv_b:2", "1", "2", "dlv_a:1", "dlv_b:2")+
		command("EVALSHA", "sha", "4", queue+"active", queue+"lease", queue+"pending", queue+"t:dlv_c:1", "1", "2",
			"dlv_c:1"))
	if work := taken.Work(); !slices.Equal(work.Held, []string{"dlv_c"}) || len(work.Active) != 0 {
		t.Errorf("in the end: %+v", work)
	}
}

func TestRedisWireOfASubscriber(t *testing.T) {
	w := newRedisWire(&breakpoints{}, newTasks(), "worker")
	through(t, w.up, command("SUBSCRIBE", "asynq:cancel"))
	pushed := ">3\r\n$9\r\nsubscribe\r\n$12\r\nasynq:cancel\r\n:1\r\n" + "*2\r\n$-1\r\n*0\r\n" + "|1\r\n+k\r\n+v\r\n#t\r\n"
	if passed, _, err := through(t, w.down, pushed); err != nil || passed != pushed {
		t.Errorf("%q, %v", passed, err)
	}
}

func TestRedisWireRefusesNonsense(t *testing.T) {
	for _, text := range []string{"GET k\r\n", "*0\r\n", "*1\r\n+PING\r\n", "*1\r\n$x\r\n", "\r\n"} {
		if _, _, err := through(t, newRedisWire(&breakpoints{}, newTasks(), "").up, text); !errors.Is(err, errNotRedis) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"?\r\n", "*x\r\n", "\r\n", "$99999999999999\r\n"} {
		if _, _, err := through(t, newRedisWire(&breakpoints{}, newTasks(), "").down, text); !errors.Is(err, errNotRedis) {
			t.Errorf("answer %q: %v", text, err)
		}
	}
}

func pg(kind byte, body string) string {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return string(b) + body
}

func startup() string { return pg('x', "\x00\x03\x00\x00user\x00me\x00\x00")[1:] }

const (
	loadSQL   = "SELECT d.id FROM deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id"
	recordSQL = "WITH v AS (SELECT 1), made AS (INSERT INTO attempts (id) SELECT 1) UPDATE deliveries d SET state = v.state"
)

func prepare(name, sql string) string { return pg('P', name+"\x00"+sql+"\x00\x00\x00") + pg('S', "") }
func execute(name string) string {
	return pg('B', "\x00"+name+"\x00\x00\x00\x00\x00\x00\x00") + pg('E', "\x00\x00\x00\x00\x00") + pg('S', "")
}

var (
	ready    = pg('Z', "I")
	answered = pg('2', "") + pg('C', "UPDATE 1\x00") + ready
	refused  = pg('E', "SERROR\x00\x00") + ready
)

func TestPostgresWire(t *testing.T) {
	tests := map[string]struct {
		moment   string
		nth      int
		up, down string
		hit      bool
		dropped  bool
	}{
		"a row was read":    {rowLoaded, 1, execute("load"), answered, true, false},
		"the second of two": {rowLoaded, 2, execute("load") + execute("load"), answered + answered, true, false},
		"only one of two":   {rowLoaded, 2, execute("load"), answered, false, false},
		"another statement": {rowLoaded, 1, execute("other"), answered, false, false},
		"a commit on its way back": {commitOnWay, 1, execute("other") + execute("record"), answered + answered, true,
			false},
		"not yet answered":     {commitOnWay, 1, execute("other") + execute("record"), answered, false, false},
		"a commit that failed": {commitOnWay, 1, execute("record"), refused, false, false},
		"a failure before it": {commitOnWay, 1, execute("other") + execute("record"), refused + answered, true,
			false},
		"a simple query":                {commitOnWay, 1, pg('Q', recordSQL+"\x00"), answered, true, false},
		"a commit about to be sent":     {commitSent, 1, execute("record"), "", true, true},
		"another one about to be sent":  {commitSent, 1, execute("load"), "", false, false},
		"the worker of another process": {"none of these", 1, execute("record"), answered, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var points breakpoints
			w := newPostgresWire(&points, "worker")
			hello := startup() + prepare("load", loadSQL) + prepare("record", recordSQL) + prepare("other", "SELECT 1")
			if passed, _, err := through(t, w.up, hello); err != nil || passed != hello {
				t.Fatalf("%q, %v", passed, err)
			}
			through(t, w.down, pg('R', "\x00\x00\x00\x00")+ready+pg('1', "")+ready+pg('1', "")+ready+pg('1', "")+ready)
			hit := points.Set(tt.moment, "worker", tt.nth, func(string) {})
			passed, _, err := through(t, w.up, tt.up)
			if tt.dropped != errors.Is(err, errDropped) || !tt.dropped && passed != tt.up ||
				tt.dropped && strings.HasSuffix(passed, pg('S', "")) {
				t.Errorf("passed on %q, %v", passed, err)
			}
			if passed, _, err := through(t, w.down, tt.down); err != nil || passed != tt.down {
				t.Errorf("passed back %q, %v", passed, err)
			}
			select {
			case <-hit:
				if !tt.hit {
					t.Error("the breakpoint was hit")
				}
			default:
				if tt.hit {
					t.Error("the breakpoint was not hit")
				}
			}
		})
	}
}

func TestPostgresWireAfterwards(t *testing.T) {
	var points breakpoints
	w := newPostgresWire(&points, "worker")
	through(t, w.up, startup()+pg('Q', recordSQL+"\x00"))
	through(t, w.down, ready)
	hit := points.Set(commitKnown, "", 1, func(string) {})
	passed, afters, err := through(t, w.down, answered)
	if err != nil || passed != answered || len(afters) != 1 {
		t.Fatalf("%q, %d, %v", passed, len(afters), err)
	}
	select {
	case <-hit:
		t.Fatal("the breakpoint was hit before the answer was passed on")
	default:
	}
	afters[0]()
	<-hit
	if _, _, err := through(t, w.down, "Z\x00\x00\x00\x01"); err == nil {
		t.Error("a message of no length is none")
	}
}

// echoWire passes bytes on as they come.
type echoWire struct{}

func (echoWire) up(r *bufio.Reader) ([]byte, func(), error) {
	b, err := r.ReadByte()
	if err != nil {
		return nil, nil, err
	}
	return []byte{b}, nil, nil
}

func (e echoWire) down(r *bufio.Reader) ([]byte, func(), error) { return e.up(r) }

func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	p := newProxy(t, l.Addr().String(), func() wire { return echoWire{} })
	t.Cleanup(p.close)
	dial := func() net.Conn {
		c, err := net.Dial("tcp4", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	send := func(c net.Conn) error {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		return hear(c)
	}
	first := dial()
	if err := send(first); err != nil {
		t.Fatal(err)
	}
	p.Silence()
	_, _ = first.Write([]byte("hello"))
	_ = first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("a silent proxy passes on")
	}
	_ = first.SetReadDeadline(time.Time{})
	second := dial()
	p.Speak()
	if err := hear(first); err != nil {
		t.Errorf("what was said in silence: %v", err)
	}
	if err := send(second); err != nil {
		t.Errorf("who came in silence: %v", err)
	}
	p.Cut()
	if err := send(first); err == nil {
		t.Error("a connection that was cut still works")
	}
	if err := send(dial()); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	p.Refuse()
	if err := send(dial()); err == nil {
		t.Error("a connection was not refused")
	}
	p.Accept()
	if err := send(dial()); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
}

func hear(c net.Conn) error {
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != "hello" {
		return fmt.Errorf("heard %q", b)
	}
	return nil
}
