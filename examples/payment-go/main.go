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
	Address     string `json:"address"`
	CheckoutURL string `json:"checkout_url"`
}

// problem is what every error looks like. Decide by the code; the words are for people.
type problem struct {
	Code   string
	Detail string
	Errors []struct{ Field, Message string }
}

func (p problem) Error() string { return fmt.Sprint(p.Code, ": ", p.Detail, " ", p.Errors) }

// gateway is where payments are made, and with which API key.
type gateway struct {
	url, key string
	client   *http.Client
}

// createPayment asks for a payment of an order. The order is the Idempotency-Key: however often this is asked, and
// whatever answers were lost, it is one payment.
func (g gateway) createPayment(order, chain, asset, amount string) (payment, error) {
	body, err := json.Marshal(map[string]string{"chain": chain, "asset": asset, "amount_decimal": amount,
		"order_id": order})
	if err != nil {
		return payment{}, err
	}
	for try := 1; ; try++ {
		p, wait, err := g.post("/api/v1/payments", order, body)
		if err == nil || wait < 0 || try == 4 {
			return p, err
		}
		time.Sleep(wait)
	}
}

// post returns how long to wait before the same request again; a negative time means that it would fail again.
func (g gateway) post(path, idempotencyKey string, body []byte) (p payment, wait time.Duration, err error) {
	req, err := http.NewRequest(http.MethodPost, g.url+path, bytes.NewReader(body))
	if err != nil {
		return payment{}, -1, err
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", idempotencyKey)
	res, err := g.client.Do(req)
	if err != nil {
		return payment{}, time.Second, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return payment{}, time.Second, err
	}
	if res.StatusCode == http.StatusCreated {
		err = json.Unmarshal(answer, &p)
		return p, -1, err
	}
	var fault problem
	if err := json.Unmarshal(answer, &fault); err != nil {
		return payment{}, time.Second, errors.Join(errors.New(res.Status), err)
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		return payment{}, time.Duration(seconds) * time.Second, fault
	}
	if res.StatusCode >= 500 {
		return payment{}, time.Second, fault
	}
	return payment{}, -1, fault
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
