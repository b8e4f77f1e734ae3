package jobs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// wakeChannel carries the names of lanes into which a task was put, and cancelChannel is Asynq's own.
	wakeChannel   = "ctrip:wake"
	cancelChannel = "asynq:cancel"
	// announceEvery is how often a process announces one lane at most.
	announceEvery = 5 * time.Millisecond
	// A process says something to itself every probeEvery, and takes its subscription for silent after silentAfter:
	// neither go-redis nor Redis tells that a channel is not heard any more.
	probeEvery  = 5 * time.Second
	silentAfter = 12 * time.Second
)

// wakeUps tells idle lanes, of this process and of others, that a task was put into them.
type wakeUps struct {
	redis         *Redis
	id            string
	cancellations *redis.Client // serves Asynq's subscriptions out of the one of this process
	stopping      chan struct{}
	stop          sync.Once

	mu        sync.Mutex
	lanes     map[string]*laneClient
	announced map[string]*announcement
	heard     time.Time
	pipes     map[net.Conn]bool
}

// announcement is that of one lane: under way or of late, and whether another one is due after it.
type announcement struct{ busy, again bool }

func newWakeUps(r *Redis) *wakeUps {
	w := &wakeUps{redis: r, id: models.NewToken("w"), stopping: make(chan struct{}), lanes: make(map[string]*laneClient),
		announced: make(map[string]*announcement), pipes: make(map[net.Conn]bool)}
	w.cancellations = redis.NewClient(&redis.Options{Addr: "process", Dialer: w.dial, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	return w
}

func (w *wakeUps) add(c *laneClient) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lanes[c.queue] = c
}

// hears reports whether the subscription is known to work.
func (w *wakeUps) hears() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.heard) < silentAfter
}

// put says that a task was put into a lane: now, or to wait there.
func (w *wakeUps) put(queue string, waits bool) {
	if w.redis.plainAsynq {
		return
	}
	w.mu.Lock()
	c := w.lanes[queue]
	w.mu.Unlock()
	if waits {
		if c != nil {
			c.heat()
		}
		return
	}
	if c != nil {
		c.signal()
	}
	w.announce(queue)
}

// announce tells the other processes. What comes while an announcement is fresh is told by one more at its end.
func (w *wakeUps) announce(queue string) {
	w.mu.Lock()
	a := w.announced[queue]
	if a == nil {
		a = &announcement{}
		w.announced[queue] = a
	}
	if a.busy {
		a.again = true
		w.mu.Unlock()
		return
	}
	a.busy = true
	w.mu.Unlock()
	go w.publish(queue, a)
}

func (w *wakeUps) publish(queue string, a *announcement) {
	for {
		w.redis.batched.Publish(context.Background(), wakeChannel, queue) // who does not hear it looks by itself
		time.Sleep(announceEvery)
		w.mu.Lock()
		if !a.again {
			a.busy = false
			w.mu.Unlock()
			return
		}
		a.again = false
		w.mu.Unlock()
	}
}

// close lets idle lanes go.
func (w *wakeUps) close() { w.stop.Do(func() { close(w.stopping) }) }

// run hears what other processes announce, and what operators cancel, until ctx ends. A user who may not hear one of
// the channels hears the other.
func (w *wakeUps) run(ctx context.Context) {
	for only := false; ctx.Err() == nil; only = !only {
		channels := []string{wakeChannel, cancelChannel}
		if only {
			channels = channels[:1]
		}
		sub := w.redis.plain.Subscribe(ctx, channels...)
		if w.listen(ctx, sub) {
			only = !only // it worked, for a while
		}
		_ = sub.Close()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// listen reports whether anything was heard before the subscription became silent.
func (w *wakeUps) listen(ctx context.Context, sub *redis.PubSub) (worked bool) {
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	messages, last := sub.Channel(), time.Now()
	probeNow := func() { w.redis.plain.Publish(ctx, wakeChannel, w.id) }
	first := time.After(50 * time.Millisecond) // when the subscription is likely to stand
	for {
		select {
		case <-ctx.Done():
			return worked
		case <-first:
			probeNow()
		case <-probe.C:
			if time.Since(last) > silentAfter {
				return worked
			}
			probeNow()
		case m, ok := <-messages:
			if !ok {
				return worked
			}
			if m.Channel == cancelChannel {
				w.cancel(m.Payload)
				continue
			}
			worked, last = true, time.Now()
			w.hear(m.Payload)
		}
	}
}

func (w *wakeUps) hear(payload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if payload == w.id {
		w.heard = time.Now()
	} else if c := w.lanes[payload]; c != nil {
		c.signal()
	}
}

// cancel passes an operator's cancellation on to the Asynq servers of this process.
func (w *wakeUps) cancel(id string) {
	text := fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(cancelChannel), cancelChannel, len(id),
		id)
	w.mu.Lock()
	defer w.mu.Unlock()
	for pipe := range w.pipes {
		_ = pipe.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(pipe, text)
	}
}

// dial is the Redis that Asynq's subscriptions see: inside this process, so that ten lanes do not cost ten connections.
func (w *wakeUps) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		in := bufio.NewReader(ours)
		for {
			command, err := readCommand(in)
			if err != nil {
				break
			}
			answer := "-ERR unknown command\r\n"
			switch strings.ToLower(command[0]) {
			case "subscribe":
				answer = ""
				for i, channel := range command[1:] {
					answer += fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(channel), channel, i+1)
				}
			case "ping":
				answer = "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
			}
			w.mu.Lock()
			w.pipes[ours] = true
			_ = ours.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = io.WriteString(ours, answer)
			w.mu.Unlock()
			if err != nil {
				break
			}
		}
		w.mu.Lock()
		delete(w.pipes, ours)
		w.mu.Unlock()
	}()
	return theirs, nil
}

// readCommand reads one command as go-redis writes it.
func readCommand(in *bufio.Reader) ([]string, error) {
	line := func(prefix string) (int, error) {
		text, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(text), prefix))
	}
	n, err := line("*")
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, io.ErrUnexpectedEOF
	}
	words := make([]string, n)
	for i := range words {
		size, err := line("$")
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}
