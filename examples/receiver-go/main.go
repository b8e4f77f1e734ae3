package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	_ "github.com/glebarez/go-sqlite"

	"github.com/ctrip-gateway/ctrip/webhook"
	"github.com/ctrip-gateway/ctrip/webhook/sqlguard"
)

const schema = `CREATE TABLE IF NOT EXISTS orders (
    payment  TEXT PRIMARY KEY,
    id       TEXT NOT NULL,
    sequence INTEGER NOT NULL, -- of the newest event that was heeded
    status   TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS attention ( -- what a person has to look at
    event   TEXT PRIMARY KEY,
    type    TEXT NOT NULL,
    payment TEXT NOT NULL,
    "order" TEXT,
    todo    TEXT NOT NULL
)`

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where to listen")
	secretFile := flag.String("secret-file", "secret.txt",
		"file with the endpoint's secrets, one a line, several during a rotation")
	database := flag.String("db", "shop.db", "SQLite file")
	flag.Parse()
	if err := run(*addr, *secretFile, *database); err != nil {
		log.Fatal(err)
	}
}

func run(addr, secretFile, database string) error {
	s, err := open(secretFile, database)
	if err != nil {
		return err
	}
	defer s.db.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks", s.receive)
	mux.HandleFunc("GET /orders", s.orders)
	mux.HandleFunc("GET /attention", s.attention)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	return server.Serve(listener)
}

type shop struct {
	secrets []webhook.Secret
	db      *sql.DB
	seen    *sqlguard.Guard
}

func open(secretFile, database string) (*shop, error) {
	text, err := os.ReadFile(secretFile)
	if err != nil {
		return nil, err
	}
	s := &shop{}
	for _, line := range strings.Fields(string(text)) {
		secret, err := webhook.ParseSecret(line)
		if err != nil {
			return nil, err
		}
		s.secrets = append(s.secrets, secret)
	}
	if len(s.secrets) == 0 {
		return nil, fmt.Errorf("%s holds no secret", secretFile)
	}
	// _txlock=immediate makes two copies of one event wait for each other instead of failing.
	if s.db, err = sql.Open("sqlite", database+"?_pragma=busy_timeout(5000)&_txlock=immediate"); err != nil {
		return nil, err
	}
	for _, statement := range []string{schema, sqlguard.Schema} {
		if _, err := s.db.Exec(statement); err != nil {
			return nil, err
		}
	}
	s.seen, err = sqlguard.New(sqlguard.Options{DB: s.db, Placeholders: sqlguard.Question})
	return s, err
}

// receive answers 2xx only when every event of the request is safely in the database, by this request or an earlier
// one. Whatever else it answers, the gateway sends the request again.
func (s *shop) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, webhook.MaxBatchBytes))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	message, err := webhook.VerifyMessage(r.Header, body, s.secrets) // signature, then time, then id
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	for _, event := range message.Events {
		if err := s.handle(r.Context(), event); err != nil {
			log.Printf("event %s: %v", event.ID, err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
	}
}

// handle takes one event once: its effect and its id are committed together.
func (s *shop) handle(ctx context.Context, e webhook.Event) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	fresh, err := s.seen.Insert(ctx, tx, e.ID)
	if err != nil || !fresh {
		return err
	}
	if err := apply(ctx, tx, e); err != nil {
		return err
	}
	return tx.Commit()
}

// apply moves the order of a payment. Events come in any order, and the newest sequence wins; types that it does not
// know it lets pass.
func apply(ctx context.Context, tx *sql.Tx, e webhook.Event) error {
	p := e.Data.Payment
	if p == nil || !slices.Contains(webhook.EventTypes(), e.Type) {
		return nil
	}
	todo, err := todoOf(ctx, tx, e.Type, p)
	if err != nil {
		return err
	}
	if todo != "" {
		if _, err := tx.ExecContext(ctx, "INSERT INTO attention VALUES (?, ?, ?, ?, ?)", e.ID, e.Type, p.ID, p.OrderID,
			todo); err != nil {
			return err
		}
	}
	if p.OrderID == nil {
		return nil
	}
	status := p.Status
	if !p.OrderCurrent && !closed(p) { // money of a payment that has given its order up ships nothing by itself
		status = "given up"
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO orders (payment, id, sequence, status) VALUES (?, ?, ?, ?)
		ON CONFLICT (payment) DO UPDATE SET sequence = excluded.sequence, status = excluded.status WHERE excluded.sequence > orders.sequence`,
		p.ID, *p.OrderID, p.Sequence, status)
	return err
}

func closed(p *webhook.Payment) bool { return p.Status == "expired" || p.Status == "canceled" }

// todoOf says what a person has to do about an event, or nothing. docs/after-payment.md has the reasons.
func todoOf(ctx context.Context, tx *sql.Tx, kind webhook.EventType, p *webhook.Payment) (string, error) {
	is := func(todo, query string, args ...any) (string, error) {
		var n int
		if err := tx.QueryRowContext(ctx, query, args...).Scan(&n); err != nil || n == 0 {
			return "", err
		}
		return todo, nil
	}
	const notShipped = "the order was given up or paid before: refund, or ship by hand"
	switch {
	case kind == webhook.PaymentConfirmed && !p.OrderCurrent:
		return notShipped, nil
	case kind == webhook.PaymentConfirmed:
		return is(notShipped,
			"SELECT count(*) FROM orders WHERE id = ? AND payment <> ? AND status = 'confirmed'", p.OrderID, p.ID)
	case kind == webhook.PaymentOverpaid:
		return "refund what is more than the amount", nil
	case kind == webhook.PaymentLate && closed(p):
		return "came too late: ship all the same, or refund", nil
	case (kind == webhook.PaymentExpired || kind == webhook.PaymentCanceled) && p.AmountReceived != "0":
		return "paid in part: refund", nil
	case kind == webhook.PaymentMisdirected:
		return "another coin or another chain: refund, or agree with the payer", nil
	case kind == webhook.PaymentReorged:
		return is("was paid and is not: stop shipping",
			"SELECT count(*) FROM orders WHERE payment = ? AND status = 'confirmed' AND sequence < ?", p.ID, p.Sequence)
	}
	return "", nil
}

func (s *shop) attention(w http.ResponseWriter, r *http.Request) {
	rows, err := s.db.QueryContext(r.Context(), `SELECT event, type, payment, "order", todo FROM attention ORDER BY event`)
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	type line struct {
		Event   string  `json:"event"`
		Type    string  `json:"type"`
		Payment string  `json:"payment"`
		Order   *string `json:"order"`
		Todo    string  `json:"todo"`
	}
	all := []line{}
	for rows.Next() {
		var l line
		if err = errors.Join(err, rows.Scan(&l.Event, &l.Type, &l.Payment, &l.Order, &l.Todo)); err == nil {
			all = append(all, l)
		}
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		http.Error(w, "the database does not answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // a client that left has nothing to be told
}

func (s *shop) orders(w http.ResponseWriter, r *http.Request) {
	rows, err := s.db.QueryContext(r.Context(), "SELECT payment, status FROM orders")
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var payment, status string
		if err = errors.Join(err, rows.Scan(&payment, &status)); err == nil {
			all[payment] = status
		}
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		http.Error(w, "the database does not answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // a client that left has nothing to be told
}
