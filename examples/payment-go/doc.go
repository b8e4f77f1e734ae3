// Command payment-go creates a payment for an order and prints its id, its address and its checkout page.
//
//	API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… go run ./examples/payment-go order-7 devnet native 0.002
package main
