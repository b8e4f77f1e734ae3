package redisguard_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/webhook"
	"github.com/ctrip-gateway/ctrip/webhook/redisguard"
)

// Of two requests with one webhook-id, one handles the event. The other comes again later and finds it done.
func Example() {
	ctx := context.Background()
	server, err := miniredis.Run() // in production: your Redis
	if err != nil {
		panic(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	guard, err := redisguard.New(redisguard.Options{Client: client})
	if err != nil {
		panic(err)
	}

	first, _ := guard.Claim(ctx, "evt_1")
	second, _ := guard.Claim(ctx, "evt_1")
	fmt.Println(first.State == webhook.ClaimWon, second.State == webhook.ClaimWon)
	fmt.Println(guard.Commit(ctx, first))
	third, _ := guard.Claim(ctx, "evt_1")
	fmt.Println(third.State == webhook.ClaimDone)
	// Output:
	// true false
	// <nil>
	// true
}
