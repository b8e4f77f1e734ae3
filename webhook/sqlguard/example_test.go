package sqlguard_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ctrip-gateway/ctrip/webhook/sqlguard"
)

// The id of an event and its effect are committed together, so that neither is there without the other.
func ExampleGuard_Insert() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sqlguard-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "shop.db")) // in production: the shop's database
	if err != nil {
		panic(err)
	}
	defer db.Close()
	for _, table := range []string{sqlguard.Schema, "CREATE TABLE orders (id TEXT, paid INT)",
		"INSERT INTO orders VALUES ('order_1', 0)"} {
		if _, err := db.Exec(table); err != nil {
			panic(err)
		}
	}
	guard, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: sqlguard.Question})
	if err != nil {
		panic(err)
	}

	for range 2 { // the same event comes twice
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			panic(err)
		}
		isNew, err := guard.Insert(ctx, tx, "evt_1")
		if err == nil && isNew {
			_, err = tx.ExecContext(ctx, "UPDATE orders SET paid = paid + 1 WHERE id = 'order_1'")
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(isNew, tx.Commit())
	}
	var paid int
	fmt.Println(db.QueryRow("SELECT paid FROM orders").Scan(&paid), paid)
	// Output:
	// true <nil>
	// false <nil>
	// <nil> 1
}
