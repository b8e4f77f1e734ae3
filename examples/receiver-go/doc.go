// Command receiver-go is a shop that takes webhooks, as small as it can be and still be right: it verifies signature
// and time, remembers ids in its database, orders the events of a payment by their sequence, and has effect and memory
// committed together. Copy it and put your own database in the place of SQLite.
package main
