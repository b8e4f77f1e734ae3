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
<meta name="color-scheme" content="light dark"><link rel="icon" href="/favicon.ico">
<noscript><meta http-equiv="refresh" content="3"></noscript>
<title>Demo shop</title><style>
:root{--ink:#1d2433;--soft:#5b6475;--page:#fafbfc;--paper:#fff;--line:#e4e8ee}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf4;--soft:#a3adbf;--page:#12161f;--paper:#1a202c;--line:#2c3444}}
*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;
color:var(--ink);background:var(--page)}h1{font-size:1.5rem}a{color:#3b6cf6}small{color:var(--soft)}
code{font-size:.85em;overflow-wrap:anywhere}
button{font:inherit;padding:.4rem .9rem;border:0;border-radius:.4rem;background:#2f5bea;color:#fff;cursor:pointer}
.goods{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
.goods div,.order{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;padding:1rem}
.goods div{flex:1 1 14rem}.order{margin:1rem 0}.order p{margin:.3rem 0}.order form{display:inline-block;margin:.3rem .8rem .3rem 0}
ol{margin:.3rem 0;padding-left:1.4rem}.todo{color:#b3541e}
</style></head><body>
<h1>Demo shop</h1><p>A merchant like any other: it creates payments over the REST API
and believes only webhooks that it has verified.</p>
<div class="goods">{{range .Goods}}<div><strong>{{.Item}}</strong><p>{{.Amount}} {{.Unit}}</p>
<form method="post" action="/orders"><input type="hidden" name="item" value="{{.Item}}"><button>Buy</button></form>
</div>{{end}}</div>
<h2>Orders</h2><div id="live">{{range .Orders}}<section class="order" id="{{.ID}}">
<strong>{{.ID}}: {{.Item}}</strong><p>{{.Status}}{{if .Todo}} <strong class="todo">{{.Todo}}</strong>{{end}}</p>
{{if eq .Status "waiting for payment"}}<form method="post" action="/orders/{{.ID}}/pay">
<button>Pay from the toy wallet</button></form>{{end}}
{{if .Checkout}}<a href="{{.Checkout}}">Open the checkout page</a>{{end}}
{{with .Events}}<p><small>Verified webhooks</small></p><ol>{{range .}}<li><code>{{.}}</code></li>{{end}}</ol>{{end}}
<small><code>{{.PaymentID}}</code></small></section>{{else}}<p>None yet. Buy something.</p>{{end}}</div>
<p><small>This page follows by itself.</small></p>
<script>
setInterval(async () => {
  if (document.hidden || document.activeElement.closest("#live")) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    const now = document.getElementById("live");
    if (next && next.innerHTML !== now.innerHTML) now.replaceWith(next);
  } catch { /* the next try follows */ }
}, 1000);
</script></body></html>`))

// favicon is the shop's icon.
const favicon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2f5bea"/>` +
	`<path d="M4 6h8l-1 6H5z" fill="#fff"/><path d="M6 6a2 2 0 0 1 4 0" fill="none" stroke="#fff"/></svg>`

// pages serves what a visitor sees.
func (s *Shop) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = w.Write([]byte(favicon)) // a browser that left needs no icon
	})
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
			http.Redirect(w, r, "/#"+o.ID, http.StatusSeeOther)
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
