package models_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ExampleNewID() {
	id := models.NewID(models.PrefixPayment, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	fmt.Println(id[:9], len(id), models.IsID(models.PrefixPayment, id), models.IsID(models.PrefixEvent, id))
	// Output: pay_06h0f 30 true false
}

func ExamplePaymentStatus_CanMove() {
	fmt.Println(models.PaymentPending.CanMove(models.PaymentDetected),
		models.PaymentCanceled.CanMove(models.PaymentDetected))
	// Output: true false
}

func TestIDsSortByTime(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := ""
	for range 100 {
		at = at.Add(time.Millisecond)
		id := models.NewID(models.PrefixEvent, at)
		if id <= last {
			t.Fatalf("%s is not after %s", id, last)
		}
		last = id
	}
}

// TestStateDiagram holds docs/states.md against the transition tables.
func TestStateDiagram(t *testing.T) {
	var b strings.Builder
	b.WriteString("# States\n\nGenerated from `models.PaymentMoves` and `models.DeliveryMoves` by `go test ./models " +
		"-update`.\n")
	diagram := func(title string, rows [][3]string) {
		fmt.Fprintf(&b, "\n## %s\n\n```mermaid\nstateDiagram-v2\n", title)
		for _, r := range rows {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", r[0], r[1], r[2])
		}
		b.WriteString("```\n")
	}
	var rows [][3]string
	for _, m := range models.PaymentMoves {
		rows = append(rows, [3]string{string(m.From), string(m.To), m.Why})
	}
	diagram("A payment", rows)
	rows = nil
	for _, m := range models.DeliveryMoves {
		rows = append(rows, [3]string{string(m.From), string(m.To), m.Why})
	}
	diagram("A delivery", rows)
	golden := filepath.Join("..", "docs", "states.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != b.String() {
		t.Fatalf("docs/states.md does not show the transition tables (%v): go test ./models -update", err)
	}
}

func TestAuditHashCoversEveryField(t *testing.T) {
	base := models.AuditEntry{Seq: 1, At: time.Unix(1, 0), Actor: "a", Action: "b", Subject: "c", Merchant: "d",
		Detail: map[string]string{"k": "v"}, IP: "e", PrevHash: "f"}
	changes := map[string]func(*models.AuditEntry){
		"seq": func(e *models.AuditEntry) { e.Seq++ }, "at": func(e *models.AuditEntry) { e.At = e.At.Add(time.Microsecond) },
		"actor": func(e *models.AuditEntry) { e.Actor = "x" }, "action": func(e *models.AuditEntry) { e.Action = "x" },
		"subject": func(e *models.AuditEntry) { e.Subject = "x" }, "merchant": func(e *models.AuditEntry) { e.Merchant = "x" },
		"detail": func(e *models.AuditEntry) { e.Detail = map[string]string{"k": "x"} }, "ip": func(e *models.AuditEntry) { e.IP = "x" },
		"prev": func(e *models.AuditEntry) { e.PrevHash = "x" },
	}
	for name, change := range changes {
		e := base
		change(&e)
		if e.ChainHash() == base.ChainHash() {
			t.Errorf("changing %s does not change the hash", name)
		}
	}
}
