package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
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

var client = &http.Client{Timeout: 30 * time.Second}

// createPayment asks for a payment of an order. The order is the Idempotency-Key: however often this is asked, and whatever
// answers were lost, it is one payment.
func createPayment(order, chain, asset, amount string) (payment, error) {
	body, err := json.Marshal(map[string]string{"chain": chain, "asset": asset, "amount_decimal": amount, "order_id": order})
	if err != nil {
		return payment{}, err
	}
	for try := 1; ; try++ {
		p, wait, err := post("/api/v1/payments", order, body)
		if err == nil || wait < 0 || try == 4 {
			return p, err
		}
		time.Sleep(wait)
	}
}

// post returns how long to wait before the same request again; a negative time means that it would fail again.
func post(path, idempotencyKey string, body []byte) (p payment, wait time.Duration, err error) {
	req, err := http.NewRequest(http.MethodPost, os.Getenv("API_URL")+path, bytes.NewReader(body))
	if err != nil {
		return payment{}, -1, err
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", idempotencyKey)
	res, err := client.Do(req)
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
	if len(os.Args) != 5 {
		log.Fatal("usage: payment-go ORDER CHAIN ASSET AMOUNT")
	}
	p, err := createPayment(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.ID, p.Address, p.CheckoutURL)
}
