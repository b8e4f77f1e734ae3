package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestEveryChangeIsAudited: every operation of the OpenAPI file that may change something is asked once, and writes a
// line of the audit log that says what was done, by whom, to which merchant. An operation that the table does not have
// fails the test.
func TestEveryChangeIsAudited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		known := map[string]string{"merchant": merchant}
		var untold []string
		for _, op := range c.spec.Operations() {
			if op.Method != http.MethodGet && op.Method != http.MethodHead {
				untold = append(untold, op.ID)
			}
		}
		done, err := s.VerifyAudit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range changes {
			i := slices.Index(untold, q.operation)
			if i < 0 {
				t.Errorf("%s is no operation that changes something, or is in the table twice", q.operation)
				continue
			}
			untold = slices.Delete(untold, i, i+1)
			who, actor := key, "key:key_"
			if strings.HasPrefix(q.path, "/admin/") {
				who, actor = operatorToken, "operator"
			}
			if q.before != nil {
				q.before(t, c, known)
			}
			path := q.path
			for name, id := range known {
				path = strings.Replace(path, "{"+name+"}", id, 1)
			}
			w := c.ask(who, q.method, path, q.body)
			if w.Code/100 != 2 {
				t.Fatalf("%s: %d %s", q.operation, w.Code, w.Body)
			}
			if q.makes != "" {
				known[q.makes] = decoded[struct{ ID string }](t, w, w.Code).ID
			}
			lines, err := s.AuditLog(t.Context(), done+1, 100)
			if err != nil {
				t.Fatal(err)
			}
			var actions []string
			for _, l := range lines {
				actions = append(actions, l.Action)
				if !strings.HasPrefix(l.Actor, actor) || l.IP == "" || l.Merchant != merchant && !q.everybody {
					t.Errorf("%s: the line %+v", q.operation, l)
				}
			}
			if !slices.Equal(actions, []string{q.action}) {
				t.Errorf("%s wrote the lines %v, want one, %s", q.operation, actions, q.action)
			}
			done += int64(len(lines))
		}
		if len(untold) > 0 {
			t.Errorf("nobody says which line these write: %v", untold)
		}
	})
}

// changes are the operations that change something, in an order in which each finds what it needs.
var changes = []struct {
	operation, method, path, body, action string
	makes                                 string // the name under which later paths have the id of the answer
	everybody                             bool   // concerns no one merchant
	before                                func(t *testing.T, c *counter, known map[string]string)
}{
	{operation: "rescanChain", method: "POST", path: "/admin/v1/chains/ethereum/rescan", body: `{"from":1}`,
		action: "chain.rescanned", everybody: true},
	{operation: "reconcileChain", method: "POST", path: "/admin/v1/chains/ethereum/reconcile", action: "chain.reconciled",
		everybody: true},
	{operation: "acceptChain", method: "POST", path: "/admin/v1/chains/sepolia/accept", action: "chain.reorg_accepted",
		everybody: true,
		before:    func(t *testing.T, c *counter, _ map[string]string) { halt(t, c.store, 11155111) }},
	{operation: "resetChain", method: "POST", path: "/admin/v1/chains/sepolia/reset",
		body: `{"start_block":1,"reason":"x"}`, action: "chain.reset", everybody: true},
	{operation: "retryQuarantine", method: "POST", path: "/admin/v1/quarantine/retry", action: "payment.quarantine_retried",
		everybody: true},
	{operation: "createPayment", method: "POST", path: "/api/v1/payments", body: `{"chain":"ethereum","asset":"native","amount":"1"}`,
		action: "payment.created", makes: "payment"},
	{operation: "acceptDoubt", method: "POST", path: "/admin/v1/doubts/{doubt}/accept", body: `{"reason":"x"}`,
		action: "doubt.accepted", before: openDoubt},
	{operation: "rejectDoubt", method: "POST", path: "/admin/v1/doubts/{doubt}/reject", body: `{"reason":"x"}`,
		action: "doubt.rejected", before: openDoubt},
	{operation: "updatePayment", method: "PATCH", path: "/api/v1/payments/{payment}", body: `{"metadata":{"cart":"9"}}`,
		action: "payment.metadata_changed"},
	{operation: "updateMerchant", method: "PATCH", path: "/api/v1/merchant", body: `{"support_email":"help@shop.example"}`,
		action: "merchant.profile_changed"},
	{operation: "createPortalLink", method: "POST", path: "/api/v1/portal_links", body: `{"scopes":["payments:read"]}`,
		action: "portal.link_created"},
	{operation: "cancelPayment", method: "POST", path: "/api/v1/payments/{payment}/cancel", action: "payment.canceled"},
	{operation: "createWebhookEndpoint", method: "POST", path: "/api/v1/webhook_endpoints", body: `{"url":"https://shop.example/"}`,
		action: "endpoint.created", makes: "endpoint"},
	{operation: "updateWebhookEndpoint", method: "PATCH", path: "/api/v1/webhook_endpoints/{endpoint}", body: `{"description":"x"}`,
		action: "endpoint.updated"},
	{operation: "rotateWebhookSecret", method: "POST", path: "/api/v1/webhook_endpoints/{endpoint}/rotate_secret",
		action: "endpoint.secret_rotated"},
	{operation: "disableWebhookEndpoint", method: "POST", path: "/api/v1/webhook_endpoints/{endpoint}/disable",
		action: "endpoint.disabled"},
	{operation: "enableWebhookEndpoint", method: "POST", path: "/api/v1/webhook_endpoints/{endpoint}/enable",
		action: "endpoint.enabled"},
	{operation: "testWebhookEndpoint", method: "POST", path: "/api/v1/webhook_endpoints/{endpoint}/test",
		action: "endpoint.tested", makes: "delivery"},
	{operation: "replayWebhookEndpoint", method: "POST", path: "/api/v1/webhook_endpoints/{endpoint}/replay", body: `{}`,
		action: "replay.started", makes: "replay"},
	{operation: "cancelReplay", method: "POST", path: "/api/v1/replays/{replay}/cancel", action: "replay.canceled"},
	{operation: "redeliver", method: "POST", path: "/api/v1/deliveries/{delivery}/redeliver", action: "delivery.redelivered"},
	{operation: "createApiKey", method: "POST", path: "/api/v1/api_keys", body: `{"name":"x","scopes":["payments:read"]}`,
		action: "key.created", makes: "key"},
	{operation: "revokeApiKey", method: "DELETE", path: "/api/v1/api_keys/{key}", action: "key.revoked"},
	{operation: "pauseAll", method: "POST", path: "/admin/v1/pause", body: `{"reason":"x"}`, action: "deliveries.paused", everybody: true},
	{operation: "resumeAll", method: "POST", path: "/admin/v1/resume", action: "deliveries.resumed", everybody: true},
	{operation: "adminUpdateMerchant", method: "PATCH", path: "/admin/v1/merchants/{merchant}", body: `{"name":"x"}`,
		action: "merchant.changed"},
	{operation: "pauseMerchant", method: "POST", path: "/admin/v1/merchants/{merchant}/pause", body: `{"reason":"x"}`,
		action: "deliveries.paused"},
	{operation: "resumeMerchant", method: "POST", path: "/admin/v1/merchants/{merchant}/resume", action: "deliveries.resumed"},
	{operation: "pauseEndpoint", method: "POST", path: "/admin/v1/webhook_endpoints/{endpoint}/pause", body: `{"reason":"x"}`,
		action: "endpoint.paused"},
	{operation: "resumeEndpoint", method: "POST", path: "/admin/v1/webhook_endpoints/{endpoint}/resume",
		action: "endpoint.enabled"},
	{operation: "deleteWebhookEndpoint", method: "DELETE", path: "/api/v1/webhook_endpoints/{endpoint}",
		action: "endpoint.deleted"},
}

func openDoubt(t *testing.T, c *counter, known map[string]string) {
	known["doubt"] = insertDoubt(t, c.store, known["merchant"], known["payment"])
}
