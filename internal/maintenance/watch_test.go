package maintenance

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestWatchAudit: a running worker writes down how far the audit log goes, and is alarmed by lines that are gone from
// its end at once, and by an old line that changed when it next reads all of them.
func TestWatchAudit(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s, owner := storetest.Owned(t)
	tamper := func(do string) {
		t.Helper()
		if _, err := owner.ExecContext(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	w := &Watch{opts: WatchOptions{Store: s, Metrics: telemetry.NewMetrics(),
		Logger: slog.New(slog.NewJSONHandler(&log, nil))}}
	line := func(actor string) {
		t.Helper()
		if err := s.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.Audit(t.Context(), models.AuditEntry{At: noon, Actor: actor, Action: "test"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	watch := func(at time.Time, broken string) string {
		t.Helper()
		log.Reset()
		if err := w.followAudit(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		page := httptest.NewRecorder()
		w.opts.Metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(page.Body.String(), "ctrip_audit_broken "+broken) {
			t.Errorf("ctrip_audit_broken is not %s", broken)
		}
		return log.String()
	}
	if said := watch(noon, "0"); said != "" {
		t.Error(said)
	}
	line("system")
	line("system")
	if said := watch(noon.Add(time.Minute), "0"); !strings.Contains(said, `"msg":"audit.followed","head":"2:`+
		w.auditMark.Hash) {
		t.Error(said)
	}
	line("system")
	watch(noon.Add(2*time.Minute), "0")
	known := w.auditMark
	tamper("ALTER TABLE audit_log DISABLE TRIGGER ALL; UPDATE audit_log SET actor = 'x' WHERE seq = 1")
	watch(noon.Add(3*time.Minute), "0") // what lies before the mark was read before
	if said := watch(noon.Add(auditWholeEvery), "1"); !strings.Contains(said, "audit.broken") ||
		!strings.Contains(said, "line 1 was changed") {
		t.Error(said)
	}
	tamper("UPDATE audit_log SET actor = 'system' WHERE seq = 1")
	watch(noon.Add(auditWholeEvery+time.Minute), "0")
	tamper("DELETE FROM audit_log WHERE seq = 3")
	for i := range 2 { // and it is not forgotten
		if said := watch(noon.Add(auditWholeEvery+time.Duration(i+2)*time.Minute), "1"); !strings.Contains(said,
			"line 3, which was there, is gone") {
			t.Error(said)
		}
		line("somebody else")
	}
	if w.auditMark != known {
		t.Errorf("%+v became %+v", known, w.auditMark)
	}
}
