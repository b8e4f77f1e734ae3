package jobs_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

// A task is enqueued once however often that is asked for, and a Redis that lost it says so.
func ExampleClient_MissingTasks() {
	ctx := context.Background()
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	redis, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr()}}, 0)
	if err != nil {
		panic(err)
	}
	defer redis.Close()
	client, err := jobs.NewClient(jobs.ClientOptions{Redis: redis, Lanes: 4, Now: time.Now})
	if err != nil {
		panic(err)
	}
	d := models.Delivery{ID: "dlv_1", EndpointID: "we_1", Generation: 1}
	fmt.Println(client.Enqueue(ctx, d, time.Now()), client.Enqueue(ctx, d, time.Now()))
	fmt.Println(client.MissingTasks(ctx, []models.Delivery{d}))
	server.FlushAll()
	fmt.Println(client.MissingTasks(ctx, []models.Delivery{d}))
	// Output:
	// <nil> <nil>
	// [false] <nil>
	// [true] <nil>
}
