package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// readsAtOnce is how many statements of a kind are under way at once; who asks meanwhile shares the next.
	readsAtOnce = 2
	// readTimeout bounds a statement that answers many, and so belongs to none of them.
	readTimeout = 20 * time.Second
	// maxReadBatch is how many questions one statement answers, a power of two.
	maxReadBatch = 64
)

// batchedRead answers by one statement what many ask at the same time, because one costs about the same however many
// rows it reads. Nobody is given an answer that is older than the question: who asks while a statement is under way
// waits for the next one. A lone question waits for nobody.
type batchedRead[K comparable, V any] struct {
	read func(ctx context.Context, keys []K) (map[K]V, error)

	mu      sync.Mutex
	waiting []question[K, V]
	working int
}

type question[K comparable, V any] struct {
	key    K
	answer chan answer[V]
}

type answer[V any] struct {
	value V
	err   error
}

// get reads the value of a key; one that is not there is [models.ErrNotFound].
func (t *batchedRead[K, V]) get(ctx context.Context, key K) (V, error) {
	q := question[K, V]{key, make(chan answer[V], 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, q)
	if t.working < readsAtOnce {
		t.working++
		go t.work()
	}
	t.mu.Unlock()
	select {
	case a := <-q.answer:
		return a.value, a.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// work reads what is asked for, until nothing is.
func (t *batchedRead[K, V]) work() {
	for {
		t.mu.Lock()
		batch := t.waiting[:min(maxReadBatch, len(t.waiting))]
		t.waiting = t.waiting[len(batch):]
		if len(batch) == 0 {
			t.waiting = nil
			t.working--
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		t.serve(batch)
	}
}

// serve answers a batch. What the database refuses of several is asked one by one, so that a question fails for its own
// reasons alone.
func (t *batchedRead[K, V]) serve(batch []question[K, V]) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	keys := make([]K, 0, len(batch))
	known := make(map[K]bool, len(batch))
	for _, q := range batch {
		if !known[q.key] {
			known[q.key] = true
			keys = append(keys, q.key)
		}
	}
	values, err := t.read(ctx, keys)
	if err != nil && len(keys) > 1 && !IsUnavailable(err) && ctx.Err() == nil {
		for i := range batch {
			t.serve(batch[i : i+1])
		}
		return
	}
	for _, q := range batch {
		value, ok := values[q.key]
		switch {
		case err != nil:
			q.answer <- answer[V]{err: err}
		case !ok:
			q.answer <- answer[V]{err: models.ErrNotFound}
		default:
			q.answer <- answer[V]{value: value}
		}
	}
}

// padded repeats the last key until there are as many as a power of two, so that few different statements are prepared.
func padded[K any](keys []K) []K {
	n := 1
	for n < len(keys) {
		n *= 2
	}
	out := append(make([]K, 0, n), keys...)
	for len(out) < n {
		out = append(out, keys[len(keys)-1])
	}
	return out
}

// reads are what requests ask of the record one by one, and all of them ask.
type reads struct {
	merchants batchedRead[string, models.Merchant]
	cursors   batchedRead[uint64, models.ChainCursor]
	answers   batchedRead[answerKey, models.IdempotencyRecord]
	endpoints batchedRead[string, models.Endpoint]
	secrets   batchedRead[secretsKey, []models.EndpointSecret]
}

// secretsKey asks for the secrets of an endpoint that have not expired at a time.
type secretsKey struct {
	endpointID string
	at         time.Time
}

// answerKey names an idempotency record.
type answerKey struct{ merchantID, method, path, key string }

func newReads(q *Queries) *reads {
	return &reads{
		merchants: batchedRead[string, models.Merchant]{read: q.merchantsByID},
		cursors:   batchedRead[uint64, models.ChainCursor]{read: q.cursorsByChain},
		answers:   batchedRead[answerKey, models.IdempotencyRecord]{read: q.answersByKey},
		endpoints: batchedRead[string, models.Endpoint]{read: q.endpointsByID},
		secrets:   batchedRead[secretsKey, []models.EndpointSecret]{read: q.secretsByEndpoint},
	}
}

// Merchant is [Queries.Merchant], by one statement for all who ask at the same time. The row is read after the call.
func (s *Store) Merchant(ctx context.Context, id string) (models.Merchant, error) {
	m, err := s.reads.merchants.get(ctx, id)
	return m, one("merchant "+id, err)
}

// Cursor is [Queries.Cursor], by one statement for all who ask at the same time. The row is read after the call.
func (s *Store) Cursor(ctx context.Context, chainID uint64) (models.ChainCursor, error) {
	c, err := s.reads.cursors.get(ctx, chainID)
	return c, one("cursor", err)
}

// IdempotencyRecord is [Queries.IdempotencyRecord], by one statement for all who ask at the same time. The row is read
// after the call.
func (s *Store) IdempotencyRecord(ctx context.Context, merchantID, method, path, key string,
	now time.Time) (models.IdempotencyRecord, error) {
	r, err := s.reads.answers.get(ctx, answerKey{merchantID, method, path, key})
	if err == nil && !r.ExpiresAt.After(now) {
		r, err = models.IdempotencyRecord{}, models.ErrNotFound
	}
	return r, one("idempotency record", err)
}

// EndpointByID is [Queries.EndpointByID], by one statement for all who ask at the same time: a worker opens many
// endpoints for the first time when it starts. The row is read after the call.
func (s *Store) EndpointByID(ctx context.Context, id string) (models.Endpoint, error) {
	e, err := s.reads.endpoints.get(ctx, id)
	return e, one("endpoint "+id, err)
}

// Secrets is [Queries.Secrets], by one statement for all who ask at the same time. The rows are read after the call.
func (s *Store) Secrets(ctx context.Context, endpointID string, now time.Time) ([]models.EndpointSecret, error) {
	rows, err := s.reads.secrets.get(ctx, secretsKey{endpointID, now})
	return rows, wrap("secrets of "+endpointID, err)
}

func (q *Queries) endpointsByID(ctx context.Context, ids []string) (map[string]models.Endpoint, error) {
	var rows []models.Endpoint
	if err := q.with(ctx).Where("id IN ?", padded(ids)).Find(&rows).Error; err != nil {
		return nil, err
	}
	found := make(map[string]models.Endpoint, len(rows))
	for _, e := range rows {
		found[e.ID] = e
	}
	return found, nil
}

func (q *Queries) secretsByEndpoint(ctx context.Context,
	keys []secretsKey) (map[secretsKey][]models.EndpointSecret, error) {
	ids, earliest := make([]string, len(keys)), keys[0].at
	for i, k := range keys {
		ids[i] = k.endpointID
		if k.at.Before(earliest) {
			earliest = k.at
		}
	}
	var rows []models.EndpointSecret
	err := q.with(ctx).Where("endpoint_id IN ? AND (expires_at IS NULL OR expires_at > ?)", padded(ids), earliest).
		Order("created_at DESC, id DESC").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	found := make(map[secretsKey][]models.EndpointSecret, len(keys))
	for _, k := range keys {
		found[k] = nil
		for _, r := range rows {
			if r.EndpointID == k.endpointID && (r.ExpiresAt == nil || r.ExpiresAt.After(k.at)) {
				found[k] = append(found[k], r)
			}
		}
	}
	return found, nil
}

func (q *Queries) merchantsByID(ctx context.Context, ids []string) (map[string]models.Merchant, error) {
	var rows []models.Merchant
	if err := q.with(ctx).Where("id IN ?", padded(ids)).Find(&rows).Error; err != nil {
		return nil, err
	}
	found := make(map[string]models.Merchant, len(rows))
	for _, m := range rows {
		found[m.ID] = m
	}
	return found, nil
}

func (q *Queries) cursorsByChain(ctx context.Context, ids []uint64) (map[uint64]models.ChainCursor, error) {
	var rows []models.ChainCursor
	if err := q.with(ctx).Where("chain_id IN ?", padded(ids)).Find(&rows).Error; err != nil {
		return nil, err
	}
	found := make(map[uint64]models.ChainCursor, len(rows))
	for _, c := range rows {
		found[c.ChainID] = c
	}
	return found, nil
}

func (q *Queries) answersByKey(ctx context.Context, keys []answerKey) (map[answerKey]models.IdempotencyRecord, error) {
	keys = padded(keys)
	const condition = "merchant_id = ? AND method = ? AND path = ? AND key = ?"
	args := make([]any, 0, 4*len(keys))
	for _, k := range keys {
		args = append(args, k.merchantID, k.method, k.path, k.key)
	}
	var rows []models.IdempotencyRecord
	err := q.with(ctx).Where(condition+strings.Repeat(" OR "+condition, len(keys)-1), args...).Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("%d keys: %w", len(keys), err)
	}
	found := make(map[answerKey]models.IdempotencyRecord, len(rows))
	for _, r := range rows {
		found[answerKey{r.MerchantID, r.Method, r.Path, r.Key}] = r
	}
	return found, nil
}
