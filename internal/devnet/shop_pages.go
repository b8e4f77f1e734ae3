package devnet

import (
	"bytes"
	"html/template"
	"net/http"
)

// goods are what the shop sells, in whole units of the coin or the token.
var goods = []struct {
	Item, Amount, Unit string
	Token              bool
}{
	{"A cup of coffee", "0.002", "ETH", false},
	{"A paper book", "12.5", TokenSymbol, true},
}

var shopPage = template.Must(template.New("shop").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo shop</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;
padding:0 1rem;color:#1d2433;background:#fafbfc}
h1{font-size:1.5rem}table{border-collapse:collapse;width:100%;background:#fff}
td,th{padding:.5rem .75rem;border-bottom:1px solid #e4e8ee;text-align:left;vertical-align:top}
button{font:inherit;padding:.3rem .9rem;border:0;border-radius:.4rem;background:#2f5bea;color:#fff;cursor:pointer}
form{display:inline}.goods{display:flex;gap:1rem;margin:1rem 0}
.goods div{background:#fff;border:1px solid #e4e8ee;border-radius:.6rem;padding:1rem;flex:1}
small{color:#5b6475}code{font-size:.85em}</style></head><body>
<h1>Demo shop</h1><p>A merchant like any other: it creates payments over the REST API
and believes only webhooks that it has verified.</p>
<div class="goods">{{range .Goods}}<div><strong>{{.Item}}</strong><p>{{.Amount}} {{.Unit}}</p>
<form method="post" action="/orders"><input type="hidden" name="item" value="{{.Item}}"><button>Buy</button></form>
</div>{{end}}</div>
<h2>Orders</h2><table><tr><th>Order</th><th>Item</th><th>Status</th><th>Verified webhooks</th><th></th></tr>
{{range .Orders}}<tr><td>{{.ID}}<br><small><code>{{.PaymentID}}</code></small></td><td>{{.Item}}</td>
<td>{{.Status}}</td>
<td>{{range .Events}}<code>{{.}}</code><br>{{end}}</td><td>{{if .Checkout}}<a href="{{.Checkout}}">checkout</a>{{end}}
{{if eq .Status "waiting for payment"}}<form method="post" action="/orders/{{.ID}}/pay">
<button>Pay from the toy wallet</button></form>{{end}}</td></tr>
{{else}}<tr><td colspan="5">None yet.</td></tr>{{end}}</table>
<p><small>Reload to see webhooks arrive.</small></p></body></html>`))

// pages serves what a visitor sees.
func (s *Shop) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		var orders []Order
		for i := len(s.placed) - 1; i >= 0; i-- {
			orders = append(orders, *s.orders[s.placed[i]])
		}
		s.mu.Unlock()
		var page bytes.Buffer
		if err := shopPage.Execute(&page, map[string]any{"Goods": goods, "Orders": orders}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page.Bytes())
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		for _, g := range goods {
			if g.Item != r.FormValue("item") {
				continue
			}
			o, err := s.Buy(r.Context(), g.Item, g.Amount, g.Token)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			http.Redirect(w, r, o.Checkout, http.StatusSeeOther)
			return
		}
		http.Error(w, "the shop does not sell that", http.StatusBadRequest)
	})
	mux.HandleFunc("POST /orders/{id}/pay", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		o, ok := s.orders[r.PathValue("id")]
		var order Order
		if ok {
			order = *o
		}
		s.mu.Unlock()
		if !ok || order.Address == "" {
			http.Error(w, "no such order", http.StatusNotFound)
			return
		}
		if _, err := s.Pay(r.Context(), order); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
}
