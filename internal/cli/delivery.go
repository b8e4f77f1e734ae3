package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func (sh *shell) delivery() *cobra.Command {
	g := sh.group("delivery", "Pause and resume deliveries; export and check the evidence of one",
		sh.deliveryEvidence(), sh.deliveryCheck(), sh.deliveryPause(), sh.deliveryResume(), sh.deliveryPauses())
	g.Aliases = []string{"deliveries"}
	return g
}

func (sh *shell) deliveryEvidence() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "evidence DELIVERY", Short: "Export what a dispute needs of a delivery", Args: cobra.ExactArgs(1),
		Long: `Export what a dispute needs of a delivery: the exact bytes that were sent, every attempt with its answer, the lines of the
audit log about the delivery and its endpoint with their hashes, all sealed with the gateway's Ed25519 key. Secrets,
signatures and the values of custom headers are not in it.

Needs MASTER_KEYS, the same as the gateway's. The export is a line of the audit log itself.`,
		Example: "  ctripctl delivery evidence dlv_… --out evidence.json\n  ctripctl delivery check evidence.json " +
			"--keys-file keys.json",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			sealed, err := a.Evidence(ctx, args[0])
			if err != nil {
				return err
			}
			text, err := json.Marshal(sealed)
			if err != nil {
				return err
			}
			text = append(text, '\n')
			if file != "" {
				return os.WriteFile(file, text, 0o600)
			}
			_, err = sh.out.Write(text)
			return err
		}),
	}
	c.Flags().StringVar(&file, "out", "", "file to write, readable by you alone (default standard output)")
	return c
}

// evidenceVerdict is what a check says of a document.
type evidenceVerdict struct {
	OK         bool   `json:"ok"`
	Problem    string `json:"problem,omitempty"`
	KeyID      string `json:"kid"`
	PublicKey  string `json:"public_key"`
	MessageID  string `json:"message_id"`
	Endpoint   string `json:"endpoint_id"`
	Deliveries int    `json:"deliveries"`
	Attempts   int    `json:"attempts"`
	AuditLines int    `json:"audit_lines"`
	AuditHead  string `json:"audit_head"`
}

func (sh *shell) deliveryCheck() *cobra.Command {
	var keySet string
	var pinned []string
	c := &cobra.Command{
		Use: "check FILE", Short: "Check exported evidence, offline", Args: cobra.ExactArgs(1),
		Long: `Check a document that "delivery evidence" wrote: its seal, the digest of the bytes that were sent, and the hashes of the audit
lines. Exits with 1 when a byte was changed, or another key sealed it. Needs no settings and no network.

All of it rests on the gateway's public key, which you have to have from the gateway itself, not from the document: the JSON of
/.well-known/webhook-keys.json that you kept, or a key (whpk_…) that you wrote down. A key that signs no more is not published
any more; the gateway's audit log names each since it was made (signing_key.created, signing_key.rotated). The audit head can be
held against that log later, with "ctripctl audit list --from SEQ".`,
		Example: "  ctripctl delivery check evidence.json --keys-file keys.json\n  ctripctl delivery check evidence.json " +
			"--public-key whpk_…",
		RunE: sh.do(func(_ context.Context, args []string) error {
			if err := onlyOneStdin(args[0], keySet); err != nil {
				return err
			}
			document, err := sh.read(args[0])
			if err != nil {
				return err
			}
			keys, err := sh.publicKeys(keySet)
			if err != nil {
				return err
			}
			for _, text := range pinned {
				key, err := webhook.ParsePublicKey(text)
				if err != nil {
					return misused("--public-key: %v", err)
				}
				keys = append(keys, key)
			}
			e, seal, err := proof.Open(document, keys...)
			v := evidenceVerdict{OK: err == nil, KeyID: seal.KeyID, PublicKey: seal.PublicKey}
			if err != nil {
				v.Problem = err.Error()
			} else {
				v.MessageID, v.Endpoint, v.Deliveries, v.Attempts, v.AuditLines = e.Message.ID, e.Endpoint.ID, len(e.Deliveries),
					len(e.Attempts), len(e.Audit)
				v.AuditHead = fmt.Sprintf("%d %s", e.AuditHead.Seq, e.AuditHead.Hash)
			}
			return sh.printEvidence(v)
		}),
	}
	c.Flags().StringVar(&keySet, "keys-file", "", "file with the JSON of /.well-known/webhook-keys.json")
	c.Flags().StringArrayVar(&pinned, "public-key", nil, "public key of the gateway, whpk_…; may be repeated")
	c.MarkFlagsOneRequired("keys-file", "public-key")
	return c
}

func (sh *shell) printEvidence(v evidenceVerdict) error {
	err := sh.answer(v, func() error {
		if !v.OK {
			return sh.facts("", "unchanged", "no", "problem", v.Problem)
		}
		return sh.facts("", "unchanged", "yes", "sealed by", v.KeyID+" "+v.PublicKey, "message", v.MessageID, "endpoint",
			v.Endpoint,
			"deliveries", fmt.Sprint(v.Deliveries), "attempts", fmt.Sprint(v.Attempts), "audit lines", fmt.Sprint(v.AuditLines),
			"audit head", v.AuditHead)
	})
	if err == nil && !v.OK {
		err = errSaid
	}
	return err
}
