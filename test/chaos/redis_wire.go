package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// tasks is what one process has taken out of Redis, as its connections show.
type tasks struct {
	mu   sync.Mutex
	held map[string]bool // deliveries by id: true while in work, false once released to be tried again
}

func newTasks() *tasks { return &tasks{held: make(map[string]bool)} }

func (t *tasks) take(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[id] = true
}

func (t *tasks) done(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, id)
}

func (t *tasks) release(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.held[id]; ok {
		t.held[id] = false
	}
}

// Has reports whether the process has this delivery in work.
func (t *tasks) Has(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[id]
}

// Work tells what the process has in work.
func (t *tasks) Work() *Work {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &Work{}
	for id, active := range t.held {
		w.Held = append(w.Held, id)
		if active {
			w.Active = append(w.Active, id)
		}
	}
	slices.Sort(w.Held)
	slices.Sort(w.Active)
	return w
}

// Close is Work of a process that is gone, and forgets it.
func (t *tasks) Close() *Work {
	w := t.Work()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = make(map[string]bool)
	return w
}

// redisWire follows one connection of the Redis protocol, RESP2 or RESP3.
type redisWire struct {
	points *breakpoints
	tasks  *tasks
	whose  string

	mu       sync.Mutex
	awaited  []bool // for every answer to come, whether it is that of a dequeue
	listener bool   // the connection subscribed, so that answers no longer belong to commands
}

func newRedisWire(points *breakpoints, tasks *tasks, whose string) *redisWire {
	return &redisWire{points: points, tasks: tasks, whose: whose}
}

func (w *redisWire) up(r *bufio.Reader) ([]byte, func(), error) {
	var raw bytes.Buffer
	args, err := readCommand(r, &raw)
	if err != nil {
		return raw.Bytes(), nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := strings.ToUpper(args[0])
	if strings.HasSuffix(name, "SUBSCRIBE") {
		w.listener = true
	}
	if !w.listener {
		w.awaited = append(w.awaited, w.command(name, args))
	}
	return raw.Bytes(), nil, nil
}

// command notes what a command says of a task and reports whether it is a dequeue.
func (w *redisWire) command(name string, args []string) (dequeue bool) {
	if name != "EVALSHA" && name != "EVAL" || len(args) < 3 {
		return false
	}
	n, err := strconv.Atoi(args[2])
	if err != nil || n < 1 || len(args) < 3+n {
		return false
	}
	keys := args[3 : 3+n]
	has := func(suffix string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.HasSuffix(k, suffix) })
	}
	if has(":pending") && has(":paused") && has(":active") {
		return true
	}
	if !has(":active") || !has(":lease") {
		return false
	}
	for _, k := range keys {
		if _, task, ok := strings.Cut(k, "}:t:"); ok && task != "" {
			id, _, _ := strings.Cut(task, ":")
			if has(":retry") || has(":pending") {
				w.tasks.release(id)
			} else {
				w.tasks.done(id)
			}
		}
	}
	return false
}

// aTask finds the ids of tasks in what a dequeue answers.
var aTask = regexp.MustCompile(`(dlv_[0-9A-Za-z]+):[0-9]+`)

func (w *redisWire) down(r *bufio.Reader) ([]byte, func(), error) {
	var raw bytes.Buffer
	kind, err := readAnswer(r, &raw)
	if err != nil {
		return raw.Bytes(), nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind == '>' || w.listener || len(w.awaited) == 0 {
		return raw.Bytes(), nil, nil
	}
	dequeue := w.awaited[0]
	w.awaited = w.awaited[1:]
	if dequeue && (kind == '$' || kind == '*') { // of one task, or of several
		all := aTask.FindAllSubmatch(raw.Bytes(), -1)
		for _, m := range all {
			w.tasks.take(string(m[1]))
		}
		if len(all) > 0 {
			w.points.At(taskTaken, w.whose)
		}
	}
	return raw.Bytes(), nil, nil
}

var errNotRedis = errors.New("not the Redis protocol")

func readLine(r *bufio.Reader, raw *bytes.Buffer) (string, error) {
	line, err := r.ReadString('\n')
	raw.WriteString(line)
	if err != nil {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errNotRedis
	}
	return line, nil
}

func readBulk(r *bufio.Reader, raw *bytes.Buffer, size string) ([]byte, error) {
	n, err := strconv.Atoi(size)
	if err != nil || n > maxMessage {
		return nil, fmt.Errorf("%w: a length of %q", errNotRedis, size)
	}
	if n < 0 {
		return nil, nil
	}
	b := make([]byte, n+2)
	got, err := io.ReadFull(r, b)
	raw.Write(b[:got])
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}

// readCommand reads what a client sends: an array of bulk strings.
func readCommand(r *bufio.Reader, raw *bytes.Buffer) ([]string, error) {
	line, err := readLine(r, raw)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || line[0] != '*' || n < 1 || n > 1<<20 {
		return nil, errNotRedis
	}
	args := make([]string, n)
	for i := range args {
		if line, err = readLine(r, raw); err != nil {
			return nil, err
		}
		if line[0] != '$' {
			return nil, errNotRedis
		}
		b, err := readBulk(r, raw, line[1:])
		if err != nil {
			return nil, err
		}
		args[i] = string(b)
	}
	return args, nil
}

// readAnswer reads one value with all that is in it, and returns its type. A bulk string that is null is of type '_'.
func readAnswer(r *bufio.Reader, raw *bytes.Buffer) (byte, error) {
	line, err := readLine(r, raw)
	if err != nil {
		return 0, err
	}
	parts := 0
	switch kind := line[0]; kind {
	case '$', '=', '!':
		b, err := readBulk(r, raw, line[1:])
		if err == nil && b == nil {
			kind = '_'
		}
		return kind, err
	case '*', '~', '>', '%', '|':
		if parts, err = strconv.Atoi(line[1:]); err != nil || parts > maxMessage {
			return 0, errNotRedis
		}
		if kind == '%' || kind == '|' {
			parts *= 2
		}
		for range max(parts, 0) {
			if _, err := readAnswer(r, raw); err != nil {
				return 0, err
			}
		}
		if kind == '|' { // attributes of the value that follows
			return readAnswer(r, raw)
		}
		return kind, nil
	case '+', '-', ':', '_', ',', '#', '(':
		return kind, nil
	}
	return 0, errNotRedis
}
