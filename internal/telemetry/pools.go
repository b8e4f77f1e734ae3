package telemetry

import (
	"context"
	"database/sql"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what one scrape asks of Redis and of the database: Prometheus gets the rest of the page when
// they are away.
const scrapeTimeout = 2 * time.Second

// RedisPool is how the connections to Redis stand.
type RedisPool struct {
	Open, Idle int    // connections now
	Timeouts   uint64 // callers that got no connection in time, since the start of the process
}

// Lane is how one queue of Asynq stands.
type Lane struct {
	Name                             string
	Pending, Active, Retry, Archived int
	ExpiredLeases                    int           // active tasks whose worker has stopped to extend its lease
	Oldest                           time.Duration // how long the task at the head of the queue has waited
}

// DatabasePool makes every scrape tell of the connections to the database.
func (m *Metrics) DatabasePool(stats func() sql.DBStats) {
	if m != nil {
		m.registry.MustRegister(databasePool(stats))
	}
}

// RedisPool makes every scrape tell of the connections to Redis.
func (m *Metrics) RedisPool(stats func() RedisPool) {
	if m != nil {
		m.registry.MustRegister(redisPool(stats))
	}
}

// Lanes makes every scrape read how the queues stand. While they cannot be read, their series are absent.
func (m *Metrics) Lanes(read func(context.Context) ([]Lane, error)) {
	if m != nil {
		m.registry.MustRegister(lanes(read))
	}
}

// RecordWritten makes every scrape tell how long ago this process last wrote to the database. A process writes every
// ten seconds; one that cannot tells of it here, whatever else it has to do.
func (m *Metrics) RecordWritten(age func() time.Duration) {
	if m != nil {
		m.registry.MustRegister(recordAge(age))
	}
}

// ChainsSeen makes every scrape read how long ago a scanner, of whatever process, last heard of each chain. While that
// cannot be read, the series are absent.
func (m *Metrics) ChainsSeen(read func(context.Context) (map[string]time.Duration, error)) {
	if m != nil {
		m.registry.MustRegister(chainsSeen(read))
	}
}

var (
	recordWritten = prometheus.NewDesc("ctrip_record_write_age_seconds",
		"How long ago this process last wrote to the database; it does so every ten seconds.", nil, nil)
	chainSeen = prometheus.NewDesc("ctrip_chain_seen_age_seconds",
		"How long ago a scanner, of whatever process, last heard of the chain; told by the API.", []string{"chain"}, nil)

	databaseConnections = prometheus.NewDesc("ctrip_database_connections",
		"Connections of this process to the database, by state: in_use, idle.", []string{"state"}, nil)
	databaseMost = prometheus.NewDesc("ctrip_database_connections_max",
		"Most connections that this process opens to the database.", nil, nil)
	databaseWaits = prometheus.NewDesc("ctrip_database_waits_total",
		"How often somebody waited for a connection to the database.", nil, nil)
	databaseWaited = prometheus.NewDesc("ctrip_database_wait_seconds_total",
		"Time that was waited for connections to the database.", nil, nil)

	redisConnections = prometheus.NewDesc("ctrip_redis_connections",
		"Connections of this process to Redis, by state: in_use, idle.", []string{"state"}, nil)
	redisTimeouts = prometheus.NewDesc("ctrip_redis_pool_timeouts_total",
		"How often a caller got no connection to Redis in time.", nil, nil)

	laneTasks = prometheus.NewDesc("ctrip_lane_tasks", "Tasks in a lane, by state: pending, active, retry, archived.",
		[]string{"lane", "state"}, nil)
	laneOldest = prometheus.NewDesc("ctrip_lane_oldest_seconds",
		"How long the oldest pending task of a lane has waited.", []string{"lane"}, nil)
	laneExpired = prometheus.NewDesc("ctrip_lane_expired_leases",
		"Active tasks of a lane whose worker has stopped to extend its lease.", []string{"lane"}, nil)
)

type recordAge func() time.Duration

func (recordAge) Describe(to chan<- *prometheus.Desc) { to <- recordWritten }

func (age recordAge) Collect(to chan<- prometheus.Metric) {
	gauge(to, recordWritten, max(age(), 0).Seconds())
}

type chainsSeen func(context.Context) (map[string]time.Duration, error)

func (chainsSeen) Describe(to chan<- *prometheus.Desc) { to <- chainSeen }

func (read chainsSeen) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	ages, err := read(ctx)
	if err != nil {
		return
	}
	for chain, age := range ages {
		gauge(to, chainSeen, max(age, 0).Seconds(), label(chain))
	}
}

type databasePool func() sql.DBStats

func (databasePool) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{databaseConnections, databaseMost, databaseWaits, databaseWaited} {
		to <- d
	}
}

func (read databasePool) Collect(to chan<- prometheus.Metric) {
	s := read()
	gauge(to, databaseConnections, float64(s.InUse), "in_use")
	gauge(to, databaseConnections, float64(s.Idle), "idle")
	gauge(to, databaseMost, float64(s.MaxOpenConnections))
	counted(to, databaseWaits, float64(s.WaitCount))
	counted(to, databaseWaited, s.WaitDuration.Seconds())
}

type redisPool func() RedisPool

func (redisPool) Describe(to chan<- *prometheus.Desc) {
	to <- redisConnections
	to <- redisTimeouts
}

func (read redisPool) Collect(to chan<- prometheus.Metric) {
	s := read()
	gauge(to, redisConnections, float64(s.Open-s.Idle), "in_use")
	gauge(to, redisConnections, float64(s.Idle), "idle")
	counted(to, redisTimeouts, float64(s.Timeouts))
}

type lanes func(context.Context) ([]Lane, error)

func (lanes) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{laneTasks, laneOldest, laneExpired} {
		to <- d
	}
}

func (read lanes) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	all, err := read(ctx)
	if err != nil {
		return
	}
	for _, l := range all {
		name := label(l.Name)
		gauge(to, laneTasks, float64(l.Pending), name, "pending")
		gauge(to, laneTasks, float64(l.Active), name, "active")
		gauge(to, laneTasks, float64(l.Retry), name, "retry")
		gauge(to, laneTasks, float64(l.Archived), name, "archived")
		gauge(to, laneOldest, max(l.Oldest, 0).Seconds(), name)
		gauge(to, laneExpired, float64(l.ExpiredLeases), name)
	}
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counted(to chan<- prometheus.Metric, d *prometheus.Desc, value float64) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
}
