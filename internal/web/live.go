package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	liveEvery   = time.Second      // between two looks at the record, for all that watch
	liveTimeout = 10 * time.Second // of one look, and of one write to a browser
	// merchantTimeout is of the questions about one merchant in a look.
	merchantTimeout = time.Second
	liveBeat        = 15 * time.Second // between two signs of life
	liveFor         = 10 * time.Minute // a browser connects anew afterwards

	streamsOfProcess  = 2000
	streamsOfMerchant = 40
	streamsOfPayment  = 10
	streamsAgain      = 15 * time.Second
)

// watcher is a browser that looks at something. changed gets the newest version of it, and holds one.
type watcher struct {
	topic   string
	changed chan string
	version string
}

// live tells browsers when what they look at has changed. However many they are, the record is asked once a second, by
// one goroutine that ends when nobody looks.
type live struct {
	read func(ctx context.Context, topics []string) (map[string]string, error)

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	looking  bool
}

// watch starts to look at a topic; leave ends it.
func (l *live) watch(topic string) (w *watcher, leave func()) {
	w = &watcher{topic: topic, changed: make(chan string, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers == nil {
		l.watchers = make(map[*watcher]struct{})
	}
	l.watchers[w] = struct{}{}
	if !l.looking {
		l.looking = true
		go l.look()
	}
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, w)
	}
}

func (l *live) look() {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		topics := l.topics()
		if topics == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), liveTimeout)
		versions, err := l.read(ctx, topics)
		cancel()
		if err == nil { // a failure is asked again; who looks asks for the page now and then
			l.tell(versions)
		}
		<-tick.C
	}
}

// topics are what is looked at, each once; nil when nobody looks any more.
func (l *live) topics() (topics []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[string]bool)
	for w := range l.watchers {
		if !seen[w.topic] {
			seen[w.topic] = true
			topics = append(topics, w.topic)
		}
	}
	l.looking = topics != nil
	return topics
}

func (l *live) tell(versions map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watchers {
		version, ok := versions[w.topic]
		if !ok || version == w.version {
			continue
		}
		w.version = version
		select {
		case <-w.changed: // nobody has taken the one before, which is old now
		default:
		}
		w.changed <- version
	}
}

// Topics are a payment by its id, or a merchant with the mode that a session sees and the thing that its page is about.
const topicSeparator = "|"

func merchantTopic(v *visitor, about string) string {
	return strings.Join([]string{v.Merchant.ID, string(models.ModeOf(v.Key.Test)), about}, topicSeparator)
}

// merchantVersions reads what pages of the portal look at, and tells each merchant's at once: one whose questions fail,
// or take long, keeps back their own pages only.
func (s *Site) merchantVersions(ctx context.Context, topics []string) (map[string]string, error) {
	abouts := make(map[[2]string][]string) // by merchant and mode
	for _, topic := range topics {
		if parts := strings.Split(topic, topicSeparator); len(parts) == 3 {
			whose := [2]string{parts[0], parts[1]}
			abouts[whose] = append(abouts[whose], parts[2])
		}
	}
	for whose, about := range abouts { // in another order each time
		versions, err := s.merchantVersion(ctx, whose, about)
		if err == nil { // a failure is asked again
			s.portalLooks.tell(versions)
		}
	}
	return nil, nil
}

// billVersions reads payments as their checkout pages show them, all with the same four questions.
func (s *Site) billVersions(ctx context.Context, ids []string) (map[string]string, error) {
	rows, err := s.opts.Store.PaymentsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	transfers, err := s.opts.Store.TransfersOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	doubts, err := s.opts.Store.OpenDoubts(ctx, ids)
	if err != nil {
		return nil, err
	}
	heads, err := s.opts.Store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, p := range rows {
		b := bill{payment: p, now: s.now(), transfers: transfers[p.ID]}
		b.seen = s.opts.Payments.View(p, payments.State{Transfers: b.transfers, Doubts: doubts[p.ID], Heads: heads})
		b.phase = phaseOf(p, b.now)
		out[p.ID] = b.version()
	}
	return out, nil
}

// merchantVersion reads versions of a merchant and mode, one for each thing that pages are about. They change when a
// page may show something else: with the newest payments and deliveries, with the endpoints, and with the thing.
func (s *Site) merchantVersion(ctx context.Context, whose [2]string, abouts []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, merchantTimeout)
	defer cancel()
	common, err := s.merchantCommon(ctx, whose[0], whose[1] == string(models.ModeTest))
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(abouts))
	for _, about := range abouts {
		hash := sha256.New()
		hash.Write(common)
		if err := s.aboutVersion(ctx, hash, whose[0], about); err != nil {
			return out, err
		}
		out[whose[0]+topicSeparator+whose[1]+topicSeparator+about] = hex.EncodeToString(hash.Sum(nil)[:8])
	}
	return out, nil
}

// merchantCommon hashes what all pages of a merchant and mode look at.
func (s *Site) merchantCommon(ctx context.Context, merchantID string, test bool) ([]byte, error) {
	hash := sha256.New()
	page := store.Page{Limit: pageSize}
	bills, err := s.opts.Store.ListPayments(ctx, merchantID, store.PaymentFilter{Test: test}, page)
	if err != nil {
		return nil, err
	}
	for _, p := range bills {
		fmt.Fprintln(hash, p.ID, p.Sequence, p.Status, p.AmountReceived, p.Confirmations)
	}
	sent, err := s.opts.Store.ListDeliveries(ctx, merchantID, store.DeliveryFilter{Test: test}, page)
	if err != nil {
		return nil, err
	}
	for _, d := range sent {
		fmt.Fprintln(hash, d.ID, d.State, d.Attempts)
	}
	endpoints, err := s.opts.Store.EndpointsOf(ctx, merchantID)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		if test && e.Mode != models.ModeTest {
			continue
		}
		fmt.Fprintln(hash, e.ID, e.Version, e.Status, e.BreakerState, e.Failures)
	}
	return hash.Sum(nil), nil
}

// aboutVersion hashes the delivery or the replay that a page is about.
func (s *Site) aboutVersion(ctx context.Context, hash io.Writer, merchantID, about string) error {
	if about == "" {
		return nil
	}
	d, err := s.opts.Store.Delivery(ctx, merchantID, about)
	if err == nil {
		fmt.Fprintln(hash, d.State, d.Attempts, d.Generation)
		return nil
	} else if !errors.Is(err, models.ErrNotFound) {
		return err
	}
	job, err := s.opts.Store.Replay(ctx, merchantID, about)
	if err == nil {
		fmt.Fprintln(hash, job.Status, job.Replayed, job.Skipped)
		return nil
	} else if !errors.Is(err, models.ErrNotFound) {
		return err
	}
	return nil
}

// portalLive tells a page of the portal when to look again.
func (s *Site) portalLive(w http.ResponseWriter, r *http.Request, v *visitor) error {
	about := r.URL.Query().Get("about")
	if len(about) > 40 || strings.Contains(about, topicSeparator) {
		return models.ErrNotFound
	}
	v.share.Leave() // a stream asks together with all others
	most := map[string]int{"": streamsOfProcess, v.Merchant.ID: streamsOfMerchant}
	return s.stream(w, r, &s.portalLooks, merchantTopic(v, about), most,
		func() bool {
			again, err := s.visitor(r)
			return err == nil && again != nil
		})
}

// checkoutLive tells a checkout page when to look again.
func (s *Site) checkoutLive(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bill(r)
	if err != nil {
		return err
	}
	return s.stream(w, r, &s.live, b.payment.ID, map[string]int{"": streamsOfProcess, b.payment.ID: streamsOfPayment,
		"of " + b.payment.MerchantID: streamsOfProcess / 2}, func() bool { return true })
}

// stream writes the versions of a topic as events until the browser goes, the process ends, or what allowed it is gone.
func (s *Site) stream(w http.ResponseWriter, r *http.Request, l *live, topic string, most map[string]int,
	allowed func() bool) error {
	leave, ok := s.streams.Take(most)
	if !ok {
		s.tooMany(w, streamsAgain)
		return errTooMany
	}
	defer leave()
	looks, unwatch := l.watch(topic)
	defer unwatch()
	h, control := w.Header(), http.NewResponseController(w)
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies pass it on at once
	send := func(text string) error {
		_ = control.SetWriteDeadline(time.Now().Add(liveTimeout)) // not every writer has one
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	w.WriteHeader(http.StatusOK)
	err := send("retry: 1000\n\n")
	beat, end := time.NewTicker(liveBeat), time.NewTimer(liveFor)
	defer beat.Stop()
	defer end.Stop()
	for err == nil {
		select {
		case version := <-looks.changed:
			err = send("data: " + version + "\n\n")
		case <-beat.C:
			if !allowed() {
				return nil
			}
			err = send(": alive\n\n")
		case <-end.C:
			return nil
		case <-r.Context().Done():
			return nil
		case <-s.closing:
			return nil
		}
	}
	return nil // nobody is there to read an error
}

// Run ends what is told to browsers when ctx ends, so that the listener can be closed.
func (s *Site) Run(ctx context.Context) error {
	<-ctx.Done()
	s.closeOnce.Do(func() { close(s.closing) })
	return nil
}
