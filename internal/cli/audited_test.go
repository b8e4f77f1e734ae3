package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// audited are the commands that change the record, and which line of the audit log each writes. Those under `api` go
// through the REST API, whose operations internal/api holds to their lines.
var audited = map[string]string{
	"merchant create": "merchant.created", "merchant set-xpub": "merchant.xpub_set", "merchant update": "merchant.changed",
	"merchant suspend": "merchant.paused", "merchant reinstate": "merchant.resumed",
	"key create": "key.created", "key revoke": "key.revoked", "key reencrypt": "keys.reencrypted",
	"endpoint create": "endpoint.created", "endpoint rotate-secret": "endpoint.secret_rotated",
	"signing-key rotate": "signing_key.rotated", "addresses export": "addresses.exported",
	"delivery pause": "deliveries.paused", "delivery resume": "deliveries.resumed",
	"pause": "deliveries.paused", "resume": "deliveries.resumed",
	"replay start": "replay.started", "replay cancel": "replay.canceled", "delivery evidence": "delivery.evidence_exported",
	"chain rescan": "chain.rescanned", "chain accept": "chain.reorg_accepted", "chain reset": "chain.reset", "chain reconcile": "chain.reconciled",
	"doubt accept": "doubt.", "doubt reject": "doubt.", "migrate up": "schema.migrated", "restore prepare": "database.prepared",
	"quarantine retry": "payment.quarantine_retried", "endpoint set-mode": "endpoint.mode_changed",
	"portal-link": "portal.link_created",
}

// reading are the commands that change nothing in the record.
var reading = regexp.MustCompile(`^(api .*|.* (list|status|show|audit|get|check|verify|sign|replay-test)|reference|doctor|status|` +
	`version|listen|completion|pauses|delivery pauses|config reference|help)$`)

// TestCommandsAreAudited: every command says whether it changes something, and which line it writes then; the line is
// one that the code writes. A new command that says neither fails.
func TestCommandsAreAudited(t *testing.T) {
	source := new(strings.Builder)
	for _, dir := range []string{"access", "admin", "endpoints", "operate", "payments", "redelivery"} {
		files, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	seen := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() || c.Deprecated != "" || c.Hidden {
			return
		}
		name := strings.TrimPrefix(c.CommandPath(), "ctripctl ")
		action, writes := audited[name]
		seen[name] = true
		switch {
		case writes == reading.MatchString(name):
			t.Errorf("%s: say in the table which line of the audit log it writes, or that it changes nothing", name)
		case writes && !strings.Contains(source.String(), `"`+action):
			t.Errorf("%s: nothing writes the line %s", name, action)
		}
	}
	walk((&shell{}).root())
	for name := range audited {
		if !seen[name] {
			t.Errorf("there is no command %s", name)
		}
	}
}
