package money

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// truth is what the canonical chain holds, read in full from the node itself: every receipt, every balance.
type truth struct {
	tokens map[string]*big.Int // by recipient
	coin   map[string]*big.Int // by address
	blocks map[string]bool     // canonical, by hash
	logs   map[string]bool     // transaction and recipient of every transfer of the token
	works  map[string]bool     // transactions that succeeded, and whether
	to     map[string]string   // whom transactions name
}

func (w *harness) truth() *truth {
	w.t.Helper()
	t := &truth{tokens: make(map[string]*big.Int), coin: make(map[string]*big.Int), blocks: make(map[string]bool),
		logs: make(map[string]bool), works: make(map[string]bool), to: make(map[string]string)}
	for n := range w.chain.Head().Number + 1 {
		head, ok := w.chain.Block(n)
		if !ok {
			w.t.Fatalf("there is no block %d", n)
		}
		t.blocks[head.Hash] = true
		if head.Transactions > 0 {
			t.read(w.node.result("eth_getBlockReceipts", fmt.Sprintf(`["0x%x"]`, n)), w.chain.Token())
		}
	}
	for address := range w.book.payments {
		b, err := w.chain.NativeBalance(address)
		if err != nil {
			w.t.Fatal(err)
		}
		t.coin[address] = b
	}
	return t
}

func (t *truth) read(raw json.RawMessage, token string) {
	var receipts []struct {
		TransactionHash, Status, To string
		Logs                        []struct {
			Address, Data string
			Topics        []string
		}
	}
	if json.Unmarshal(raw, &receipts) != nil {
		return
	}
	for _, r := range receipts {
		t.works[r.TransactionHash], t.to[r.TransactionHash] = r.Status == "0x1", strings.ToLower(r.To)
		for _, l := range r.Logs {
			if !strings.EqualFold(l.Address, token) || len(l.Topics) != 3 {
				continue
			}
			to := "0x" + l.Topics[2][26:]
			units, ok := new(big.Int).SetString(trim(l.Data), 16)
			if !ok {
				continue
			}
			if t.tokens[to] == nil {
				t.tokens[to] = new(big.Int)
			}
			t.tokens[to].Add(t.tokens[to], units)
			t.logs[r.TransactionHash+to] = true
		}
	}
}

// holds is what an address holds of an asset.
func (t *truth) holds(address, asset string) *big.Int {
	from := t.tokens
	if asset == "native" {
		from = t.coin
	}
	if b := from[strings.ToLower(address)]; b != nil {
		return b
	}
	return new(big.Int)
}

// cases reads the record, and what the chain holds of each payment.
func (w *harness) cases() []Case {
	w.t.Helper()
	truth, events := w.truth(), w.events()
	rows, err := w.DB.Query(`SELECT id, address, asset, status, amount::text, amount_received::text, amount_confirmed::text,
		EXISTS (SELECT 1 FROM doubts d WHERE d.payment_id = payments.id AND d.status = 'open') FROM payments ORDER BY id`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var cases []Case
	for rows.Next() {
		var id, address, asset, asked, received, confirmed string
		var c Case
		if err := rows.Scan(&id, &address, &asset, &c.Status, &asked, &received, &confirmed, &c.Doubted); err != nil {
			w.t.Fatal(err)
		}
		c.Name, c.Events, c.Holds = id, events[id], truth.holds(address, asset)
		if p := w.book.at(address); p != nil {
			c.Name = fmt.Sprintf("%s (%d, %s)", id, p.number, p.Way)
		}
		c.Asked, c.Received, c.Confirmed = number(asked), number(received), number(confirmed)
		cases = append(cases, c)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return cases
}

func number(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

// events reads every event of every payment, by sequence.
func (w *harness) events() map[string][]Event {
	w.t.Helper()
	rows, err := w.DB.Query("SELECT id, payment_id, type, body FROM events WHERE payment_id IS NOT NULL ORDER BY sequence")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[string][]Event)
	for rows.Next() {
		var e Event
		var payment string
		var text []byte
		var body struct {
			Data struct {
				Payment struct {
					Confirmed string `json:"amount_confirmed"`
				}
				Retracts []string
			}
		}
		if err := rows.Scan(&e.ID, &payment, &e.Type, &text); err != nil {
			w.t.Fatal(err)
		}
		if err := json.Unmarshal(text, &body); err != nil {
			w.t.Fatal(err)
		}
		e.Confirmed, e.Retracts = number(body.Data.Payment.Confirmed), body.Data.Retracts
		all[payment] = append(all[payment], e)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// doubt is a transfer that waits for a person.
type doubt struct {
	ID, Asset, Amount, Recipient, Source string
	Payment                              string `json:"payment_id"`
	Tx                                   string `json:"tx_hash"`
	Block                                string `json:"block_hash"`
}

// settleDoubts accepts the doubts about what is on the chain and rejects the others. It reports whether there were any.
func (w *harness) settleDoubts() bool {
	w.t.Helper()
	out, err := w.TryCtl("doubt", "list", "--json")
	if err != nil {
		w.t.Log(err)
		return true
	}
	var open struct{ Data []doubt }
	gateway.Decode(w.t, out, &open)
	truth := w.truth()
	for _, d := range open.Data {
		verdict := "reject"
		if w.happened(truth, d) {
			verdict = "accept"
		}
		if _, err := w.TryCtl("doubt", verdict, d.ID, "--reason", "read on the node itself"); err != nil {
			w.t.Log(err) // the providers were faster
		}
	}
	return len(open.Data) > 0
}

// happened says whether the transfer of a doubt is on the chain.
func (w *harness) happened(t *truth, d doubt) bool {
	to := strings.ToLower(d.Recipient)
	switch {
	case !t.blocks[d.Block]:
		return false
	case d.Source == "balance":
		var confirmed string
		if w.DB.QueryRow("SELECT amount_received::text FROM payments WHERE id = $1", d.Payment).Scan(&confirmed) != nil {
			return false
		}
		rest := new(big.Int).Sub(t.holds(to, "native"), number(confirmed))
		return rest.Cmp(number(d.Amount)) == 0
	case d.Source == "withdrawal":
		return t.holds(to, "native").Sign() > 0
	case d.Asset != "native":
		return t.logs[d.Tx+to]
	}
	in := w.book.of(d.Tx)
	inner := slices.ContainsFunc(in.moves, func(m move) bool { return strings.EqualFold(m.to, to) })
	return t.works[d.Tx] && (inner || t.to[d.Tx] == to)
}
