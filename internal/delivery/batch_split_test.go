package delivery

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestSplits(t *testing.T) {
	keep := []int{401, 403, 407, 408, 410, 429}
	for status := 100; status < 600; status++ {
		class := Judge(status, "", nil, time.Now()).Class
		if want := status >= 400 && status < 500 && !slices.Contains(keep, status); splits(class, status) != want {
			t.Errorf("%d %s: %v, want %v", status, http.StatusText(status), !want, want)
		}
	}
}
