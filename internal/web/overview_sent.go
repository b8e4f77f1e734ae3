package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// sentHour are the attempts of one hour.
type sentHour struct {
	took       []int64
	ok, failed int
}

// deliveries draws success and latency, hour by hour.
func (view *overviewView) deliveries(sent []store.Sent, since time.Time) {
	var hours [overviewHours]sentHour
	var took []int64
	succeeded, most := 0, 1
	for _, a := range sent {
		i := int(a.StartedAt.Sub(since) / time.Hour)
		if i < 0 || i >= overviewHours {
			continue
		}
		h := &hours[i]
		h.took = append(h.took, a.TotalMicros)
		took = append(took, a.TotalMicros)
		if a.Class == string(models.DeliveryDelivered) {
			h.ok++
			succeeded++
		} else {
			h.failed++
		}
		most = max(most, h.ok+h.failed)
	}
	view.Attempts = len(took)
	if view.Attempts == 0 {
		return
	}
	view.Rate = percent(succeeded, view.Attempts)
	view.P50, view.P95 = inMillis(quantile(took, 50)), inMillis(quantile(took, 95))
	view.Delivered = figure{Title: "Attempts an hour", Most: fmt.Sprint(most)}
	for i, h := range hours {
		when := since.Add(time.Duration(i) * time.Hour).Format("15:04")
		label := fmt.Sprintf("%s: %d delivered, %d failed", when, h.ok, h.failed)
		view.Delivered.Bars = append(view.Delivered.Bars, column(i, overviewHours, float64(h.ok)/float64(most),
			float64(h.failed)/float64(most), label))
	}
	view.Latency = latency(hours[:], since)
}

// latency draws the median and the 95th of 100 of each hour that has attempts.
func latency(hours []sentHour, since time.Time) figure {
	var top int64 = 1
	for _, h := range hours {
		top = max(top, quantile(h.took, 95))
	}
	f := figure{Title: "Time to the answer", Most: inMillis(top)}
	for _, q := range []struct {
		percent     int
		class, name string
	}{{50, "main", "median"}, {95, "rest", "95 of 100"}} {
		var points, words []string
		for i, h := range hours {
			if len(h.took) == 0 {
				continue
			}
			value := quantile(h.took, q.percent)
			x := (float64(i) + 0.5) * chartWide / overviewHours
			points = append(points, coordinate(x)+","+coordinate(chartHigh-float64(value)*chartHigh/float64(top)))
			words = append(words, since.Add(time.Duration(i)*time.Hour).Format("15:04")+" "+inMillis(value))
		}
		if len(points) == 1 { // a line of one point is not drawn
			points = append(points, points[0])
		}
		f.Lines = append(f.Lines, line{q.class, strings.Join(points, " "), q.name + ": " + strings.Join(words, ", ")})
	}
	return f
}

// quantile is the value that so many of 100 are not above.
func quantile(values []int64, percent int) int64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)*percent/100]
}

func inMillis(micros int64) string { return fmt.Sprintf("%.0f ms", float64(micros)/1000) }
