package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type payment struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	Address     string `json:"address"`
	CheckoutURL string `json:"checkout_url"`
}

// problem is what every error looks like. Decide by the code; the words are for people.
type problem struct {
	Code   string
	Detail string
	Errors []struct{ Field, Message string }
	// PaymentID is the payment that has the order, where the code is order_id_taken.
	PaymentID string `json:"payment_id"`
}

func (p problem) Error() string { return fmt.Sprint(p.Code, ": ", p.Detail, " ", p.Errors) }

// gateway is where payments are made, and with which API key.
type gateway struct {
	url, key string
	client   *http.Client
}

// createPayment returns the payment of an order: the one that can be paid now, or the one that was. An attempt to pay
// has one Idempotency-Key: however often it is asked for, and whatever answers were lost, it is one payment. When that
// payment expired or was canceled, the next attempt has the next key.
func (g gateway) createPayment(order, chain, asset, amount string) (payment, error) {
	body, err := json.Marshal(map[string]string{"chain": chain, "asset": asset, "amount_decimal": amount,
		"order_id": order})
	if err != nil {
		return payment{}, err
	}
	for attempt := 1; attempt <= 100; attempt++ {
		p, replayed, err := g.call(http.MethodPost, "/api/v1/payments", fmt.Sprint(order, ":", attempt), body)
		var fault problem
		if errors.As(err, &fault) && fault.Code == "order_id_taken" { // made more than a day ago
			p, replayed, err = payment{ID: fault.PaymentID}, true, nil
		}
		if err == nil && replayed { // it shows the payment as it was made. What has become of it?
			p, _, err = g.call(http.MethodGet, "/api/v1/payments/"+p.ID, "", nil)
		}
		if err != nil || p.Status != "expired" && p.Status != "canceled" {
			return p, err
		}
	}
	return payment{}, fmt.Errorf("order %s has had 100 payments that nobody paid", order)
}

// call asks again after no answer, after a 5xx and after any answer with Retry-After; others would be the same again.
// replayed tells that the answer is the one that was given to this Idempotency-Key before.
func (g gateway) call(method, path, idempotencyKey string, body []byte) (p payment, replayed bool, err error) {
	for try := 1; ; try++ {
		res, answer, err := g.send(method, path, idempotencyKey, body)
		wait := time.Second
		if err == nil {
			if res.StatusCode/100 == 2 {
				err = json.Unmarshal(answer, &p)
				return p, res.Header.Get("Idempotency-Replayed") == "true", err
			}
			var fault problem
			if json.Unmarshal(answer, &fault) != nil || fault.Code == "" {
				fault = problem{Code: res.Status, Detail: "not an answer of the gateway"}
			}
			err = fault
			if seconds, bad := strconv.Atoi(res.Header.Get("Retry-After")); bad == nil {
				wait = time.Duration(seconds) * time.Second
			} else if res.StatusCode < 500 {
				return payment{}, false, err // it would fail again
			}
		}
		if try == 4 {
			return payment{}, false, err
		}
		time.Sleep(wait)
	}
}

func (g gateway) send(method, path, idempotencyKey string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequest(method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := g.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("no answer from %s (-api): %w", g.url, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res, answer, err
}

func main() {
	url := flag.String("api", "http://127.0.0.1:8080", "where the gateway is")
	keyFile := flag.String("key-file", "key.txt", "file with the API key")
	flag.Parse()
	if flag.NArg() != 4 {
		log.Fatal("usage: payment-go [flags] ORDER CHAIN ASSET AMOUNT")
	}
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		log.Fatal(err)
	}
	g := gateway{url: *url, key: strings.TrimSpace(string(key)), client: &http.Client{Timeout: 30 * time.Second}}
	p, err := g.createPayment(flag.Arg(0), flag.Arg(1), flag.Arg(2), flag.Arg(3))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.ID, p.Address, p.CheckoutURL)
}
