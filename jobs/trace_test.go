package jobs

import (
	"testing"

	"github.com/ctrip-gateway/ctrip/models"
)

// TestTasksCarryTheTrace: the task of a delivery names the trace of its event in Asynq's headers, and one of an event
// without a trace has none.
func TestTasksCarryTheTrace(t *testing.T) {
	const cause = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, want := range []string{cause, ""} {
		task, err := newTask(models.Delivery{ID: "dlv_1", Generation: 1, Traceparent: want})
		if err != nil {
			t.Fatal(err)
		}
		if got := task.Headers()["traceparent"]; got != want {
			t.Errorf("the task names %q, want %q", got, want)
		}
	}
}
