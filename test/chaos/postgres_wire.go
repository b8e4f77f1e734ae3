package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxMessage bounds what a peer may claim that a message has.
const maxMessage = 64 << 20

// statement is what a statement means for us.
type statement int

const (
	otherStatement statement = iota
	loadStatement
	recordStatement
)

// classify knows the two statements of a delivery: the one that reads what is to be sent and the one that writes what
// came of it, which is a transaction of its own.
func classify(sql string) statement {
	switch {
	case strings.Contains(sql, "INSERT INTO attempts"):
		return recordStatement
	case strings.HasPrefix(strings.TrimSpace(sql), "SELECT") &&
		strings.Contains(sql, "FROM deliveries d JOIN webhook_endpoints w"):
		return loadStatement
	}
	return otherStatement
}

// postgresWire follows one connection of the frontend/backend protocol, version 3.
type postgresWire struct {
	points  *breakpoints
	whose   string
	greeted bool // the client has sent its start-up message

	mu       sync.Mutex
	prepared map[string]statement
	bound    statement
	awaited  []statement // one for every ReadyForQuery to come
	ready    bool        // the server has said so for the first time
	failed   bool        // the statement that is being answered has failed
}

func newPostgresWire(t *breakpoints, whose string) *postgresWire {
	return &postgresWire{points: t, whose: whose, prepared: make(map[string]statement)}
}

// readMessage reads a typed message, or with typed unset the first one of a client, which has no type.
func readMessage(r *bufio.Reader, typed bool) ([]byte, error) {
	head := 4
	if typed {
		head = 5
	}
	message := make([]byte, head, 512)
	if n, err := io.ReadFull(r, message); err != nil {
		return message[:n], err
	}
	size := binary.BigEndian.Uint32(message[head-4:])
	if size < 4 || size > maxMessage {
		return nil, fmt.Errorf("a Postgres message of %d bytes", size)
	}
	message = append(message, make([]byte, size-4)...)
	n, err := io.ReadFull(r, message[head:])
	return message[:head+n], err
}

func (w *postgresWire) up(r *bufio.Reader) ([]byte, func(), error) {
	message, err := readMessage(r, w.greeted)
	if err != nil || !w.greeted {
		w.greeted = true
		return message, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	body := message[5:]
	switch message[0] {
	case 'P': // Parse: name, SQL
		if name, sql, ok := twoStrings(body); ok {
			w.prepared[name] = classify(sql)
		}
	case 'B': // Bind: portal, name
		if _, name, ok := twoStrings(body); ok {
			w.bound = w.prepared[name]
		}
	case 'Q':
		w.awaited = append(w.awaited, classify(string(body)))
	case 'S': // Sync, which commits what came before it
		if w.bound == recordStatement && w.points.At(commitSent, w.whose) {
			return nil, nil, errDropped
		}
		w.awaited = append(w.awaited, w.bound)
		w.bound = otherStatement
	}
	return message, nil, nil
}

func twoStrings(b []byte) (string, string, bool) {
	first, rest, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return "", "", false
	}
	second, _, ok := bytes.Cut(rest, []byte{0})
	return string(first), string(second), ok
}

func (w *postgresWire) down(r *bufio.Reader) ([]byte, func(), error) {
	message, err := readMessage(r, true)
	if err != nil {
		return message, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch message[0] {
	case 'E':
		w.failed = true
	case 'Z':
		failed := w.failed
		w.failed = false
		if !w.ready { // the end of the start-up
			w.ready = true
			break
		}
		if len(w.awaited) == 0 {
			break
		}
		answered := w.awaited[0]
		w.awaited = w.awaited[1:]
		switch {
		case failed:
		case answered == loadStatement:
			w.points.At(rowLoaded, w.whose)
		case answered == recordStatement:
			w.points.At(commitOnWay, w.whose)
			if w.points.Waits(commitKnown) {
				return message, func() { w.points.At(commitKnown, w.whose) }, nil
			}
		}
	}
	return message, nil, nil
}
