package money

import (
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

const (
	enoughGas = 1_000_000
	weiOfGwei = 1_000_000_000
)

// customer pays, by every way.
type customer struct {
	t                               testkit.TB
	chain                           *devnet.Chain
	book                            *book
	node                            *provider // the node itself, without a trouble
	batch, forwarder, safe, failing string
	sent                            []payingTx // that may be dropped by a reorganisation
}

// payingTx is a transaction and how it is made again.
type payingTx struct {
	hash  string
	again func() string
}

func newCustomer(t testkit.TB, c *devnet.Chain, b *book, node *provider) *customer {
	t.Helper()
	p := &customer{t: t, chain: c, book: b, node: node}
	p.batch = p.deploy(testkit.Pays)
	p.forwarder = p.deploy(testkit.Pays)
	p.failing = p.deploy(testkit.PaysAndFails)
	p.safe = p.deploy(testkit.PaysThrough(p.batch))
	return p
}

// send has the node's own account send a transaction, and returns its hash.
func (p *customer) send(to, data string, wei int64) string {
	p.t.Helper()
	request := map[string]string{"from": p.chain.Payer().Address(), "data": data, "value": fmt.Sprintf("0x%x", wei),
		"gas": fmt.Sprintf("0x%x", enoughGas)}
	if to != "" {
		request["to"] = to
	}
	params, err := json.Marshal([]any{request})
	if err != nil {
		p.t.Fatal(err)
	}
	var hash string
	if raw := p.node.result("eth_sendTransaction", string(params)); json.Unmarshal(raw, &hash) != nil || hash == "" {
		p.t.Fatalf("the node does not take a transaction: %s", raw)
	}
	return hash
}

// deploy puts runtime code on the chain.
func (p *customer) deploy(code string) string {
	p.t.Helper()
	hash := p.send("", testkit.Creation(code), 0)
	if _, err := p.chain.Mine(); err != nil {
		p.t.Fatal(err)
	}
	var r struct{ ContractAddress string }
	raw := p.node.result("eth_getTransactionReceipt", `["`+hash+`"]`)
	if err := json.Unmarshal(raw, &r); err != nil || r.ContractAddress == "" {
		p.t.Fatalf("%s, %v", raw, err)
	}
	return r.ContractAddress
}

// through pays by a contract.
func (p *customer) through(contract string, failing bool, moves ...move) string {
	sum, payouts := int64(0), []testkit.Payout{}
	for _, m := range moves {
		sum, payouts = sum+m.wei, append(payouts, testkit.Payout{To: m.to, Wei: m.wei})
	}
	hash := p.send(contract, testkit.PayList(payouts...), sum)
	p.book.note(hash, inner{moves: moves, fails: failing})
	return hash
}

// sends keeps a transaction for reorganisations.
func (p *customer) sends(pay func() string) { p.sent = append(p.sent, payingTx{pay(), pay}) }

// pay pays some payments. Those of a batch share a transaction.
func (p *customer) pay(ready []*payment) {
	p.t.Helper()
	var shared []move
	for _, one := range ready {
		m := move{one.address, one.Amount}
		if one.Way == Batch {
			shared = append(shared, m)
			continue
		}
		p.payOne(one.Way, m)
	}
	if len(shared) > 0 {
		p.sends(func() string { return p.through(p.batch, false, shared...) })
	}
}

func (p *customer) payOne(way Way, m move) {
	p.t.Helper()
	coin := func(wei int64) { p.sends(func() string { return p.send(m.to, "0x", wei) }) }
	switch way {
	case Transfer:
		coin(m.wei)
	case Halves:
		coin(m.wei / 2)
		coin(m.wei - m.wei/2)
	case TooMuch:
		coin(m.wei + m.wei/2)
	case TooLittle:
		p.sends(func() string { return p.token(m.to, m.wei/2) })
	case Token:
		p.sends(func() string { return p.token(m.to, m.wei) })
	case Forwarder:
		p.sends(func() string { return p.through(p.forwarder, false, m) })
	case Safe:
		p.sends(func() string { return p.through(p.safe, false, m) })
	case Failing:
		p.sends(func() string { return p.through(p.failing, true, m) })
	case Destroyed:
		p.sends(func() string {
			hash := p.send("", testkit.Leaves(m.to), m.wei)
			p.book.note(hash, inner{moves: []move{m}})
			return hash
		})
	case Withdrawal:
		if _, err := p.chain.Withdraw(m.to, uint64(m.wei/weiOfGwei)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *customer) token(to string, units int64) string {
	p.t.Helper()
	hash, err := p.chain.SendToken(p.t.Context(), p.chain.DemoPayer(), to, big.NewInt(units))
	if err != nil {
		p.t.Fatal(err)
	}
	return hash
}

// reorg replaces the last blocks. It drops some of the transactions in them and sends every second one of those again.
func (p *customer) reorg(depth, drop int) error {
	head := p.chain.Head().Number
	depth = min(depth, int(head)-1)
	var dropped []string
	var again []func() string
	for i := len(p.sent) - 1; i >= 0 && len(dropped) < drop; i-- {
		var r *struct{ BlockNumber string }
		var at uint64
		raw := p.node.result("eth_getTransactionReceipt", `["`+p.sent[i].hash+`"]`)
		if json.Unmarshal(raw, &r) != nil || r == nil {
			continue
		}
		if fmt.Sscanf(r.BlockNumber, "0x%x", &at); at+uint64(depth) <= head {
			break
		}
		dropped, again = append(dropped, p.sent[i].hash), append(again, p.sent[i].again)
		p.sent = append(p.sent[:i], p.sent[i+1:]...)
	}
	if _, err := p.chain.Reorg(depth, dropped...); err != nil {
		return err
	}
	for i, pay := range again {
		if i%2 == 0 {
			p.sends(pay)
		}
	}
	return nil
}
