package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
)

const (
	// savedEvery is how often a process looks for verdicts that another one could not record.
	savedEvery = 2 * time.Second
	// savedPause is how long the task of such a verdict waits: the verdict is recorded before somebody takes the task.
	savedPause = 30 * time.Second
	// saveTimeout bounds the saving, and a look.
	saveTimeout = 3 * time.Second
	// savedAAD binds what is kept to its purpose.
	savedAAD = "kept verdict"
)

var (
	// errSaved says that a verdict will be recorded by another process.
	errSaved    = errors.New("delivery: the verdict is kept for whoever can record it")
	errStopping = errors.New("delivery: the process stops and the record takes no writes")
)

// VerdictSaver keeps, outside the record, verdicts that a process could not record before it had to stop, so that
// nobody repeats their requests. What it loses is sent again, under the same id.
type VerdictSaver interface {
	SaveVerdicts(ctx context.Context, sealed map[string][]byte) error
	SavedVerdicts(ctx context.Context) (map[string][]byte, error)
	ForgetVerdicts(ctx context.Context, ids []string) error
}

// savedVerdicts are those of all processes. They are sealed: who can write to the saver must not be able to say that
// something was delivered.
type savedVerdicts struct {
	saver VerdictSaver // nil keeps nothing
	vault *vault.Vault
	log   *slog.Logger
}

// savedVerdict is one as it is kept.
type savedVerdict struct {
	Verdict store.Verdict
	Beside  beside
}

// save saves verdicts by the ids of their attempts.
func (k *savedVerdicts) save(batch []*verdict) error {
	if k.saver == nil || k.vault == nil {
		return errors.New("delivery: there is nowhere to keep it")
	}
	sealed := make(map[string][]byte, len(batch))
	for _, v := range batch {
		plain, err := json.Marshal(savedVerdict{v.Verdict, v.beside})
		if err != nil {
			return fmt.Errorf("delivery: keep %s: %w", v.ID, err)
		}
		if sealed[v.ID], err = k.vault.Seal(plain, savedAAD); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	return k.saver.SaveVerdicts(ctx, sealed)
}

// recordAll records all that is kept, and returns the error of a verdict that could not be. What cannot be looked at
// holds up nobody: the tasks are in the same place.
func (k *savedVerdicts) recordAll(commit func(store.Verdict, beside) error) error {
	for k.saver != nil && k.vault != nil {
		if more, err := k.record(commit); err != nil || !more {
			return err
		}
	}
	return nil
}

// record records some of what is kept, and forgets it; more says that there was some. A verdict that is recorded twice
// changes nothing.
func (k *savedVerdicts) record(commit func(store.Verdict, beside) error) (more bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	sealed, err := k.saver.SavedVerdicts(ctx)
	if err != nil {
		k.log.DebugContext(ctx, "delivery.saved_unread", "error", err)
		return false, nil
	}
	var done []string
	var failed error
	for id, one := range sealed {
		var v savedVerdict
		plain, err := k.vault.Open(one, savedAAD)
		if err == nil {
			err = json.Unmarshal(plain, &v)
		}
		if err != nil {
			k.log.ErrorContext(ctx, "delivery.saved_unreadable", "attempt_id", id, "error", err)
			done = append(done, id)
			continue
		}
		if err := commit(v.Verdict, v.Beside); err != nil && !store.IsRefused(err) {
			k.log.WarnContext(ctx, "delivery.saved_not_recorded", "attempt_id", id, "error", err)
			failed = err
			break
		} else if err != nil {
			k.log.ErrorContext(ctx, "delivery.verdict_refused", "delivery_id", v.Verdict.DeliveryID, "error", err)
		}
		done = append(done, id)
	}
	if len(done) == 0 {
		return false, failed
	}
	if err := k.saver.ForgetVerdicts(ctx, done); err != nil {
		k.log.WarnContext(ctx, "delivery.saved_not_forgotten", "error", err)
		return false, failed
	}
	k.log.InfoContext(ctx, "delivery.saved_recorded", "verdicts", len(done))
	return true, failed
}
