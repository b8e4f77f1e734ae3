package jobs

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/models"
)

// TypeSendWebhook is the one type of task.
const TypeSendWebhook = "send_webhook"

const (
	// maxRetry is out of reach: Asynq archives the last retry even when nothing failed, so the budget is kept in the
	// database.
	maxRetry = 1000
	// taskTimeout is longer than the longest request (30 s) and its commit together.
	taskTimeout = 60 * time.Second
	// traceHeader is the header of a task that names the trace of the request or block that caused its event.
	traceHeader = "traceparent"
	retryQueue  = "wh:retry"
	slowQueue   = "wh:slow"
)

// payload is what a task holds: ids, never a secret, never the body.
type payload struct {
	DeliveryID string `json:"delivery_id"`
	Generation int    `json:"generation"`
	EventType  string `json:"event_type"`
	MerchantID string `json:"merchant_id"`
	EndpointID string `json:"endpoint_id"`
}

// taskID names the task of a delivery's generation.
func taskID(d models.Delivery) string { return d.ID + ":" + strconv.Itoa(d.Generation) }

// deliveryOf is the delivery that a task id names, "" for an id that is not ours.
func deliveryOf(taskID string) string {
	id, _, found := strings.Cut(taskID, ":")
	if !found || !strings.HasPrefix(id, models.PrefixDelivery+"_") {
		return ""
	}
	return id
}

func newTask(d models.Delivery) (*asynq.Task, error) {
	body, err := json.Marshal(payload{d.ID, d.Generation, d.EventType, d.MerchantID, d.EndpointID})
	if err != nil {
		return nil, fmt.Errorf("jobs: payload of %s: %w", d.ID, err)
	}
	if d.Traceparent == "" {
		return asynq.NewTask(TypeSendWebhook, body), nil
	}
	return asynq.NewTaskWithHeaders(TypeSendWebhook, body, map[string]string{traceHeader: d.Traceparent}), nil
}

// lanes spreads endpoints over queues.
type lanes int

// names lists every queue: one per lane of first tries, the retries', and that of slow endpoints.
func (l lanes) names() []string {
	names := make([]string, 0, int(l)+2)
	for i := range int(l) {
		names = append(names, laneName(i))
	}
	return append(names, retryQueue, slowQueue)
}

func laneName(i int) string { return "wh:" + strconv.Itoa(i) }

// queue is where the task of a delivery's current generation is: in a lane by its endpoint until the first attempt was
// made, then among the retries; those of a slow endpoint are by themselves all the time. A delivery that died at its
// first attempt died in its lane. What is too much for a lane at once is put where a slow endpoint's would be, though
// its row does not say so ([Client.MissingTasks] looks there too).
func (l lanes) queue(d models.Delivery) string {
	if d.Slow {
		return slowQueue
	}
	first := d.Attempts == 0 || d.State == models.DeliveryDead && d.Attempts == 1
	if !first {
		return retryQueue
	}
	h := fnv.New32a()
	h.Write([]byte(d.EndpointID))
	return laneName(int(h.Sum32() % uint32(l)))
}
