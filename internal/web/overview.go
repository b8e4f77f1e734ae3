package web

import (
	"cmp"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	overviewDays  = 14
	overviewHours = 24
	overviewMost  = 6 // assets
)

// figure is a chart with what it says in words.
type figure struct {
	Title, Total, Unit string
	Bars               []bar
	Lines              []line
	Most               string // what the top of the chart stands for
}

// bar is one column of a chart, in units of its 100 × 40 box; Rest stands on top of it.
type bar struct {
	X, Width         float64
	Y, Height        float64
	RestY, RestHigh  float64
	Label            string
	HasRest, HasMain bool
}

// line is a polyline of a chart.
type line struct {
	Class, Points, Label string
}

type statusCount struct {
	Status models.PaymentStatus
	Count  int
	Share  string // of all, as the width of a bar
}

type overviewView struct {
	Volumes   []figure
	More      int // assets that are not shown
	Statuses  []statusCount
	Payments  int
	Delivered figure
	Latency   figure
	Attempts  int
	Rate      string
	P50, P95  string
}

const (
	chartWide, chartHigh = 100.0, 40.0
	barGap               = 0.25 // of a column
)

// overview shows how the shop does: what arrived, how payments stand and how webhooks are delivered.
func (s *Site) overview(w http.ResponseWriter, r *http.Request, v *visitor) error {
	now := s.now()
	var view overviewView
	if v.Payments() {
		since := day(now).AddDate(0, 0, 1-overviewDays)
		sales, err := s.opts.Store.Sales(r.Context(), v.Merchant.ID, v.Key.Test, since)
		if err != nil {
			return err
		}
		view.Payments = len(sales)
		view.Statuses = statusCounts(sales)
		view.Volumes = volumes(sales, since)
		if extra := len(view.Volumes) - overviewMost; extra > 0 {
			view.Volumes, view.More = view.Volumes[:overviewMost], extra
		}
	}
	if v.Webhooks() {
		since := now.Truncate(time.Hour).Add(-(overviewHours - 1) * time.Hour)
		sent, err := s.opts.Store.SentSince(r.Context(), v.Merchant.ID, v.Key.Test, since)
		if err != nil {
			return err
		}
		view.deliveries(sent, since)
	}
	return s.show(w, r, v, "overview", "Overview", "overview", view)
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func statusCounts(sales []store.Sale) []statusCount {
	counts := make(map[models.PaymentStatus]int)
	for _, p := range sales {
		counts[p.Status]++
	}
	var out []statusCount
	for _, status := range models.PaymentStatuses {
		share := float64(counts[status]) * chartWide / float64(max(len(sales), 1))
		out = append(out, statusCount{status, counts[status], coordinate(share)})
	}
	return out
}

// volumes are what was paid in each asset, day by day, the asset with most payments first. Amounts of different assets
// are never added.
func volumes(sales []store.Sale, since time.Time) []figure {
	type asset struct {
		sale  store.Sale
		days  [overviewDays]*big.Int
		total *big.Int
		count int
	}
	assets := make(map[[2]string]*asset)
	for _, p := range sales {
		if p.AmountConfirmed.Sign() == 0 {
			continue
		}
		key := [2]string{p.Chain, p.Asset}
		a := assets[key]
		if a == nil {
			a = &asset{sale: p, total: new(big.Int)}
			for i := range a.days {
				a.days[i] = new(big.Int)
			}
			assets[key] = a
		}
		if i := int(p.CreatedAt.Sub(since) / (24 * time.Hour)); i >= 0 && i < overviewDays {
			a.days[i].Add(a.days[i], p.AmountConfirmed.Big())
			a.total.Add(a.total, p.AmountConfirmed.Big())
			a.count++
		}
	}
	var order []*asset
	for _, a := range assets {
		order = append(order, a)
	}
	slices.SortFunc(order, func(a, b *asset) int {
		return cmp.Or(b.count-a.count, cmp.Compare(a.sale.Chain, b.sale.Chain), cmp.Compare(a.sale.Asset, b.sale.Asset))
	})
	var out []figure
	for _, a := range order {
		decimals := a.sale.AssetDecimals
		f := figure{Title: a.sale.AssetSymbol + " on " + title(a.sale.Chain), Unit: a.sale.AssetSymbol,
			Total: units(a.total, decimals)}
		most := slices.MaxFunc(a.days[:], (*big.Int).Cmp)
		f.Most = units(most, decimals)
		for i, sum := range a.days {
			share, _ := new(big.Rat).SetFrac(sum, maxBig(most)).Float64()
			when := since.AddDate(0, 0, i).Format("2 Jan")
			f.Bars = append(f.Bars, column(i, overviewDays, share, 0, when+": "+units(sum, decimals)+" "+f.Unit))
		}
		out = append(out, f)
	}
	return out
}

// maxBig is a number to divide by.
func maxBig(n *big.Int) *big.Int {
	if n.Sign() == 0 {
		return big.NewInt(1)
	}
	return n
}

// units is a sum, which may be larger than an amount, in whole units.
func units(sum *big.Int, decimals uint8) string {
	a, err := models.AmountFromBig(sum)
	if err != nil {
		return "more than can be shown"
	}
	return a.Decimal(decimals)
}

// column is the i-th of n columns, whose main and rest are shares of the height.
func column(i, n int, main, rest float64, label string) bar {
	width := chartWide / float64(n)
	b := bar{X: round(float64(i)*width + width*barGap/2), Width: round(width * (1 - barGap)), Label: label,
		Height: round(main * chartHigh), RestHigh: round(rest * chartHigh), HasMain: main > 0, HasRest: rest > 0}
	b.Y = round(chartHigh - b.Height)
	b.RestY = round(b.Y - b.RestHigh)
	return b
}

func round(x float64) float64 { return float64(int(x*100+0.5)) / 100 }

func coordinate(x float64) string { return strconv.FormatFloat(round(x), 'f', -1, 64) }
