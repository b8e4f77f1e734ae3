// Command payment-go creates a payment for an order and prints its id, its address and its checkout page.
//
//	go run ./examples/payment-go -api http://127.0.0.1:8080 -key-file key.txt order-7 devnet native 0.002
package main
