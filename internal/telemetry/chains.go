package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// chainMetrics are those of the chains that this process scans.
type chainMetrics struct {
	lag            *prometheus.GaugeVec
	head           *prometheus.GaugeVec
	scanned        *prometheus.CounterVec
	reorgs         *prometheus.CounterVec
	halted         *prometheus.GaugeVec
	headStill      *prometheus.GaugeVec
	headAge        *prometheus.GaugeVec
	finalLag       *prometheus.GaugeVec
	doubts         *prometheus.GaugeVec
	balances       *prometheus.CounterVec
	balanceSeconds *prometheus.CounterVec
	balancesFailed *prometheus.CounterVec
	rpcErrors      *prometheus.CounterVec
	disagreements  *prometheus.CounterVec
	reorgDepth     *prometheus.HistogramVec
	watched        *prometheus.GaugeVec
}

// depthBuckets reach from one block to a reorg that no chain should have.
var depthBuckets = []float64{1, 2, 3, 5, 8, 13, 21, 34, 64, 128, 256}

func newChainMetrics(
	counters func(name, help string, labels ...string) *prometheus.CounterVec,
	gauges func(name, help string, labels ...string) *prometheus.GaugeVec,
	histograms func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec,
) chainMetrics {
	return chainMetrics{
		lag: gauges("ctrip_chain_lag_blocks", "Blocks between the chain's head and the last scanned one.",
			"chain"),
		head:      gauges("ctrip_chain_head_block", "The chain's head, as its providers tell.", "chain"),
		scanned:   counters("ctrip_chain_blocks_scanned_total", "Blocks read, matched and recorded.", "chain"),
		reorgs:    counters("ctrip_chain_reorgs_total", "Reorganisations walked back.", "chain"),
		halted:    gauges("ctrip_chain_halted", "1 while a chain's scanner has stopped until someone looks.", "chain"),
		headStill: gauges("ctrip_chain_head_still_seconds", "How long the head of the chain has been the same.", "chain"),
		headAge: gauges("ctrip_chain_head_age_seconds", "Age of the chain's newest block, by its own time.",
			"chain"),
		finalLag: gauges("ctrip_chain_final_lag_seconds",
			"How much older the newest final block is than the newest scanned one.", "chain"),
		doubts: gauges("ctrip_chain_doubts_open",
			"Transfers that wait for a person because providers contradict each other.", "chain"),
		balances: counters("ctrip_chain_balances_read_total", "Balances read to find coin that contracts send.",
			"chain"),
		balanceSeconds: counters("ctrip_chain_balance_seconds_total", "Time spent on reading balances.", "chain"),
		balancesFailed: counters("ctrip_chain_balance_failures_total", "Passes over balances that did not work out.",
			"chain"),
		rpcErrors: counters("ctrip_rpc_errors_total", "Failed calls to a chain's provider, by its host.", "chain",
			"provider"),
		disagreements: counters("ctrip_chain_disagreements_total",
			"Blocks or transfers about which two providers of a chain told different things.", "chain"),
		reorgDepth: histograms("ctrip_chain_reorg_depth_blocks", "Recorded blocks that a reorganisation took away.",
			depthBuckets, "chain"),
		watched: gauges("ctrip_chain_addresses_watched", "Addresses at which payments may arrive.", "chain"),
	}
}

// DeclareChain makes the counters of a chain appear at zero. Its gauges come with the first look of whoever leads it: a
// lag of zero blocks before that would tell that all is well.
func (m *Metrics) DeclareChain(chain string) {
	if m == nil {
		return
	}
	chain = label(chain)
	m.scanned.WithLabelValues(chain)
	m.reorgs.WithLabelValues(chain)
	m.balancesFailed.WithLabelValues(chain)
	m.doubts.WithLabelValues(chain)
	m.disagreements.WithLabelValues(chain)
	m.reorgDepth.WithLabelValues(chain)
}

// ChainHead sets a chain's head and, from it, how many blocks the scanner is behind.
func (m *Metrics) ChainHead(chain string, head, scanned uint64) {
	if m == nil {
		return
	}
	chain = label(chain)
	m.head.WithLabelValues(chain).Set(float64(head))
	lag := 0.0
	if head > scanned {
		lag = float64(head - scanned)
	}
	m.lag.WithLabelValues(chain).Set(lag)
}

// BlocksScanned counts blocks that were recorded.
func (m *Metrics) BlocksScanned(chain string, blocks int) {
	if m != nil && blocks > 0 {
		m.scanned.WithLabelValues(label(chain)).Add(float64(blocks))
	}
}

// Reorg counts one reorganisation that took depth recorded blocks away.
func (m *Metrics) Reorg(chain string, depth int) {
	if m == nil {
		return
	}
	m.reorgs.WithLabelValues(label(chain)).Inc()
	m.reorgDepth.WithLabelValues(label(chain)).Observe(float64(depth))
}

// Disagreement counts one thing about which two providers of a chain told different things.
func (m *Metrics) Disagreement(chain string) {
	if m != nil {
		m.disagreements.WithLabelValues(label(chain)).Inc()
	}
}

// AddressesWatched says at how many addresses of a chain payments may arrive.
func (m *Metrics) AddressesWatched(chain string, n int) {
	if m != nil {
		m.watched.WithLabelValues(label(chain)).Set(float64(n))
	}
}

// ChainHalted says whether a chain's scanner stands still until someone looks.
func (m *Metrics) ChainHalted(chain string, halted bool) {
	if m == nil {
		return
	}
	value := 0.0
	if halted {
		value = 1
	}
	m.halted.WithLabelValues(label(chain)).Set(value)
}

// ChainSilent says for how long no new head was heard of on a chain of which no head is known yet.
func (m *Metrics) ChainSilent(chain string, still time.Duration) {
	if m != nil {
		m.headStill.WithLabelValues(label(chain)).Set(still.Seconds())
	}
}

// ChainAge says for how long the head has stood still, and how old the newest block is by its own time.
func (m *Metrics) ChainAge(chain string, still, age time.Duration) {
	if m == nil {
		return
	}
	m.headStill.WithLabelValues(label(chain)).Set(still.Seconds())
	m.headAge.WithLabelValues(label(chain)).Set(max(age, 0).Seconds())
}

// ChainFinalLag says how much older the newest final block is than the newest recorded one.
func (m *Metrics) ChainFinalLag(chain string, lag time.Duration) {
	if m != nil {
		m.finalLag.WithLabelValues(label(chain)).Set(lag.Seconds())
	}
}

// OpenDoubts says how many transfers of a chain wait for a person because providers contradict each other.
func (m *Metrics) OpenDoubts(chain string, n int) {
	if m != nil {
		m.doubts.WithLabelValues(label(chain)).Set(float64(n))
	}
}

// BalancePass counts the balances that one pass read, its time, and whether it worked out.
func (m *Metrics) BalancePass(chain string, balances int, took time.Duration, ok bool) {
	if m == nil {
		return
	}
	chain = label(chain)
	m.balances.WithLabelValues(chain).Add(float64(balances))
	m.balanceSeconds.WithLabelValues(chain).Add(took.Seconds())
	if !ok {
		m.balancesFailed.WithLabelValues(chain).Inc()
	}
}

// ForgetChain drops the gauges of a chain that another process leads now, so that nobody reads old values.
func (m *Metrics) ForgetChain(chain string) {
	if m == nil {
		return
	}
	chain = label(chain)
	for _, g := range []*prometheus.GaugeVec{m.lag, m.head, m.halted, m.headStill, m.headAge, m.finalLag, m.doubts,
		m.watched} {
		g.DeleteLabelValues(chain)
	}
}

// RPCError counts a failed call. host is the provider's host:port only: its URL may hold an API key.
func (m *Metrics) RPCError(chain, host string) {
	if m != nil {
		m.rpcErrors.WithLabelValues(label(chain), hostOnly(host)).Inc()
	}
}
