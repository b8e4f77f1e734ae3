package config

import "time"

// The values of ENV.
const (
	Development = "development"
	Test        = "test"
	Production  = "production"
)

// Config holds every setting. Each field's tags are its documentation: the variable's name (env), its default
// (envDefault), what it means (desc), whether it is secret, what .env.example shows (example) and who needs it
// (required: "always", or "services" for everything but ctripctl). Printing a Config in any way shows no secret.
type Config struct {
	Env               string        `env:"ENV" envDefault:"development" example:"development" desc:"development, test or production. Only development reads a .env file; production refuses weak secrets and plain http."`
	PublicURL         string        `env:"PUBLIC_URL" envDefault:"http://127.0.0.1:8080" example:"http://127.0.0.1:8080" desc:"Where payers and merchants reach the API, without a trailing slash. Checkout links begin with it. Production needs https."`
	MasterKeys        MasterKeys    `env:"MASTER_KEYS" secret:"true" required:"services" example:"changeme:Y2hhbmdlbWUtY2hhbmdlbWUtY2hhbmdlbWUtY2hhbmc=" desc:"Keys that encrypt stored secrets: id:base64 of 32 bytes, comma-separated. The first encrypts, all decrypt."`
	OperatorToken     Secret        `env:"OPERATOR_TOKEN" secret:"true" required:"services" example:"changeme-operator-token-of-32-characters" desc:"Opens the operator routes and the guarded ops pages. At least 32 characters in production."`
	OperatorReadToken Secret        `env:"OPERATOR_READ_TOKEN" secret:"true" desc:"Opens those of the operator routes that change nothing. At least 32 characters in production. Empty opens nothing."`
	APIAddr           string        `env:"API_ADDR" envDefault:"127.0.0.1:8080" desc:"Where cmd/api listens, host:port."`
	OpsAddr           string        `env:"OPS_ADDR" desc:"Where health, metrics and pprof are served, host:port. Default 127.0.0.1:9090 for the API and the quickstart, 127.0.0.1:9091 for the worker, 127.0.0.1:9092 for the scanner."`
	LogLevel          string        `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error."`
	LogFormat         string        `env:"LOG_FORMAT" envDefault:"json" desc:"json or text."`
	ShutdownGrace     time.Duration `env:"SHUTDOWN_GRACE" envDefault:"45s" desc:"How long a stopping process may finish what is in flight. Production needs 35s or more: the largest endpoint timeout and a commit."`
	WatchInterval     time.Duration `env:"WATCH_INTERVAL" envDefault:"1m" desc:"How often a worker looks for what waits for a person (dead letters, unannounced and quarantined payments, old secrets, rejecting endpoints, the audit log) and sets its metrics; 1s to 1h."`
	MaxClockSkew      time.Duration `env:"MAX_CLOCK_SKEW" envDefault:"30s" desc:"A process whose clock differs from the database's by more is not ready."`
	Database          Database      `group:"Database"`
	Redis             RedisPool     `group:"Redis"`
	Payments          Payments      `group:"Payments and chains"`
	Webhook           Webhook       `group:"Webhooks"`
	Egress            Egress        `group:"Outgoing connections"`
	Retention         Retention     `group:"Retention"`
	API               API           `group:"API limits"`
	Tracing           Tracing       `group:"Tracing"`
	Caller            Caller        `group:"Calling the API"`

	// Chains is what CHAINS_FILE says, checked.
	Chains []Chain `env:"-"`
	// Warnings are settings that work but that an operator should know of; without secrets, ready to be logged.
	Warnings []string `env:"-"`
}

// Database is where the record is kept.
type Database struct {
	URL         URL           `env:"DATABASE_URL" secret:"true" required:"always" example:"postgres://ctrip:changeme@postgres:5432/ctrip?sslmode=disable" desc:"postgres://user:password@host:port/database?options. SQLite exists only inside the quickstart."`
	MigrateURL  URL           `env:"DATABASE_MIGRATE_URL" secret:"true" desc:"Where ctripctl migrate connects instead: past a pooler, or as a role that may change the schema. Empty: DATABASE_URL."`
	MaxOpen     int           `env:"DB_MAX_OPEN_CONNS" envDefault:"32" desc:"Most connections that one process opens to the database."`
	MaxLifetime time.Duration `env:"DB_CONN_MAX_LIFETIME" envDefault:"30m" desc:"A connection older than this is replaced."`
}

// RedisPool is where the tasks wait.
type RedisPool struct {
	Server   Redis  `env:"REDIS_URL" secret:"true" required:"services" example:"redis://redis:6379/0" desc:"redis://[user:password@]host:port/db, rediss:// for TLS, redis-sentinel://[user:password@]h1:26379,h2:26379/db?master=NAME[&sentinel_user=…&sentinel_password=…], redis-cluster://[user:password@]h1:6379,h2:6379; rediss-sentinel:// and rediss-cluster:// for TLS."`
	PoolSize int    `env:"REDIS_POOL_SIZE" envDefault:"128" desc:"Most connections that one process opens to Redis, subscriptions included; in a cluster, to each of its nodes."`
	CA       string `env:"REDIS_CA" desc:"Certificates of the authority of a rediss:// server, PEM, instead of the system's; as a file with REDIS_CA_FILE."`
	Cert     string `env:"REDIS_CERT" desc:"Client certificate for rediss://, PEM, with its chain."`
	Key      Secret `env:"REDIS_KEY" secret:"true" desc:"Private key of REDIS_CERT, PEM."`
	Batching string `env:"REDIS_BATCHING" envDefault:"on" desc:"on: an idle lane waits to be woken, and looks by itself a few times a second at most; tasks are taken and acknowledged several at a time. off: Asynq asks for one at a time, as often as WEBHOOK_POLL_INTERVAL says."`
}

// Payments is what the life of a payment depends on.
type Payments struct {
	ChainsFile       string        `env:"CHAINS_FILE" envDefault:"chains.yaml" example:"deploy/chains.dev.yaml" desc:"The YAML file that lists the chains and their tokens."`
	AddressBranch    uint32        `env:"ADDRESS_BRANCH" envDefault:"0" desc:"The branch under each account xpub from which this deployment derives addresses; every deployment that shares an xpub has its own."`
	ExpiresIn        time.Duration `env:"PAYMENT_EXPIRES_IN" envDefault:"30m" desc:"How long a payment may be paid when the request does not say; 60s to 7d."`
	MonitoringWindow time.Duration `env:"MONITORING_WINDOW" envDefault:"24h" desc:"How long an address is still watched after its payment expired, was canceled or confirmed, in block time."`
}

// Webhook is how events reach the merchants.
type Webhook struct {
	URL               URL           `env:"WEBHOOK_URL" secret:"true" desc:"Default endpoint of every merchant that has none. Production needs https and WEBHOOK_SECRET with it."`
	Secret            Secret        `env:"WEBHOOK_SECRET" secret:"true" desc:"Signs what goes to WEBHOOK_URL: whsec_ and base64 of at least 24 bytes, or at least 24 bytes of your own."`
	Timeout           time.Duration `env:"WEBHOOK_TIMEOUT" envDefault:"10s" desc:"Time for one request in all, 1s to 30s."`
	MaxAttempts       int           `env:"WEBHOOK_MAX_ATTEMPTS" envDefault:"15" desc:"Attempts before a delivery is dead."`
	RetryBase         time.Duration `env:"WEBHOOK_RETRY_BASE" envDefault:"5s" desc:"Delay after the first failed attempt."`
	RetryFactor       float64       `env:"WEBHOOK_RETRY_FACTOR" envDefault:"3" desc:"Each delay is this many times the one before."`
	RetryMax          time.Duration `env:"WEBHOOK_RETRY_MAX" envDefault:"12h" desc:"The longest delay between two attempts."`
	RetryJitter       float64       `env:"WEBHOOK_RETRY_JITTER" envDefault:"0.2" desc:"Each delay varies by up to this share either way, 0 to 0.9."`
	Concurrency       int           `env:"WEBHOOK_CONCURRENCY" envDefault:"1024" desc:"Deliveries in flight at once in one worker process, over all its lanes."`
	Lanes             int           `env:"WEBHOOK_LANES" envDefault:"8" desc:"Queues over which endpoints are spread, 1 to 64. The same in every process."`
	MaxInFlight       int           `env:"WEBHOOK_MAX_IN_FLIGHT" envDefault:"64" desc:"Deliveries in flight at once to one endpoint, over all workers; an endpoint's own setting wins."`
	HostInFlight      int           `env:"WEBHOOK_HOST_MAX_IN_FLIGHT" envDefault:"256" desc:"Deliveries in flight at once to one destination host, over all workers and all merchants, who share them."`
	PollInterval      time.Duration `env:"WEBHOOK_POLL_INTERVAL" envDefault:"10ms" desc:"How often an idle lane looks for a new task."`
	RetryPollInterval time.Duration `env:"WEBHOOK_RETRY_POLL_INTERVAL" envDefault:"500ms" desc:"How often waiting retries are looked at."`
	SweepInterval     time.Duration `env:"WEBHOOK_SWEEP_INTERVAL" envDefault:"2s" desc:"How often the sweeper looks for due deliveries without a task."`
	SweepBatch        int           `env:"WEBHOOK_SWEEP_BATCH" envDefault:"500" desc:"Deliveries that one sweep takes at a time."`
	CommitBatch       int           `env:"WEBHOOK_COMMIT_BATCH" envDefault:"256" desc:"Most verdicts that are committed together."`
	CommitWait        time.Duration `env:"WEBHOOK_COMMIT_WAIT" envDefault:"5ms" desc:"How long a verdict waits for others to be committed with; up to 12ms when many are under way."`
	BreakerWindow     time.Duration `env:"WEBHOOK_BREAKER_WINDOW" envDefault:"5m" desc:"Over how long the attempts on an endpoint are counted for its circuit breaker."`
	BreakerAttempts   int           `env:"WEBHOOK_BREAKER_ATTEMPTS" envDefault:"10" desc:"Attempts in that window before the breaker may open."`
	BreakerRatio      float64       `env:"WEBHOOK_BREAKER_RATIO" envDefault:"0.7" desc:"Share of them that must have failed, above 0 to 1."`
	BreakerTimeouts   int           `env:"WEBHOOK_BREAKER_TIMEOUTS" envDefault:"5" desc:"Timeouts in a row that open the breaker by themselves."`
	BreakerOpen       time.Duration `env:"WEBHOOK_BREAKER_OPEN" envDefault:"30s" desc:"How long an open breaker waits before it lets one delivery through; doubled each time that one fails."`
	BreakerOpenMax    time.Duration `env:"WEBHOOK_BREAKER_OPEN_MAX" envDefault:"15m" desc:"The longest that wait becomes."`
	DisableAfter      time.Duration `env:"WEBHOOK_DISABLE_AFTER" envDefault:"120h" desc:"An endpoint without a success for this long, and with 20 failed attempts in it, is disabled."`
	SlowAbove         time.Duration `env:"WEBHOOK_SLOW_ABOVE" envDefault:"2s" desc:"An endpoint that answers slower than this on average uses the lane of slow endpoints."`
	SecretOverlap     time.Duration `env:"WEBHOOK_SECRET_OVERLAP" envDefault:"24h" desc:"How long a rotated secret still signs when the request does not say; 0s to 7d."`
	SecretMaxAge      time.Duration `env:"SECRET_MAX_AGE" envDefault:"180d" desc:"How old a signing secret may become. Its merchant is told 14 days before, by endpoint.secret_expiring; at that age the endpoint cannot be changed until the secret is rotated. 0 for no limit, else 1d or more."`
	Allow             string        `env:"WEBHOOK_ALLOW" desc:"What the deny table and the rules about names and ports would refuse, comma-separated: [OWNER=]CIDR[:ports], [OWNER=]host[:ports][=CIDR] or [OWNER=]*.suffix[:ports][=CIDR], each allowing only itself. A name (shop:8000, *.svc.cluster.local:8080) may lead to private addresses, or to those of its CIDR; never to loopback, link-local or metadata, which only an entry of addresses allows. OWNER is a merchant id or WEBHOOK_URL; in production an entry without one holds for WEBHOOK_URL alone. For development and intranets."`
}

// Egress is how requests to merchants leave the network.
type Egress struct {
	Proxy URL      `env:"EGRESS_PROXY" secret:"true" desc:"Forward proxy for webhook requests, http:// or https:// (asked by CONNECT, for plain http receivers too) or socks5://. Names are resolved and checked here, the proxy is given the address. HTTP_PROXY and its kin are not read for webhooks; requests to nodes heed them."`
	IPs   []string `env:"EGRESS_IPS" desc:"The addresses that our requests come from, comma-separated; shown to merchants for their firewalls."`
}

// Retention is how long what is over is kept. Payments and the audit log are kept for good.
type Retention struct {
	Deliveries time.Duration `env:"RETENTION_DELIVERIES" envDefault:"30d" desc:"How long deliveries that are over are kept with their attempts, and how long held ones wait for their endpoint before they are canceled; 1d or more, 0 for good."`
	Events     time.Duration `env:"RETENTION_EVENTS" envDefault:"90d" desc:"How long events are kept; at least as long as deliveries, 0 for good."`
}

// API is what bounds a caller.
type API struct {
	Rate                     float64       `env:"API_RATE" envDefault:"100" desc:"Requests a second that one merchant may make in the long run, with all keys and portal sessions together and over all API processes; so may each key. While Redis is away each process counts for itself."`
	Burst                    int           `env:"API_BURST" envDefault:"500" desc:"Requests that one merchant, or one key, may make at once."`
	PageRate                 float64       `env:"PAGES_RATE" envDefault:"20" desc:"Checkout and portal pages a second that one address may ask for in the long run, an IPv6 network of 64 bits being one address; 0 for no limit. Behind a reverse proxy set TRUSTED_PROXIES, or all callers share one."`
	PageBurst                int           `env:"PAGES_BURST" envDefault:"200" desc:"Pages that one address may ask for at once."`
	Origins                  []string      `env:"API_CORS_ORIGINS" desc:"Web origins whose pages may call the API from a browser, comma-separated, such as https://shop.example. Empty allows none. A page that holds an API key shows it to its visitors."`
	Proxies                  []string      `env:"TRUSTED_PROXIES" desc:"Addresses or CIDRs of the reverse proxies in front of API_ADDR, comma-separated. From them X-Forwarded-For is believed, so that the log and the audit log name the caller; from anybody else it is not."`
	Timeout                  time.Duration `env:"API_TIMEOUT" envDefault:"30s" desc:"Time for one API request in all."`
	AnswerTimeout            time.Duration `env:"API_ANSWER_TIMEOUT" envDefault:"30s" desc:"Time that a reader has, beyond API_TIMEOUT, to take an answer; then the connection is closed. A CSV export has it for every 500 rows. For API_ADDR and OPS_ADDR."`
	MaxConnections           int           `env:"API_MAX_CONNECTIONS" envDefault:"10000" desc:"Connections that one API process holds; further ones are closed at once. OPS_ADDR holds 256."`
	MaxConnectionsPerAddress int           `env:"API_MAX_CONNECTIONS_PER_ADDRESS" envDefault:"1000" desc:"Connections that one API process holds for one address, or one /64 of IPv6; 0 for no such limit. TRUSTED_PROXIES have none."`
	MaxEndpoints             int           `env:"MAX_ENDPOINTS" envDefault:"20" desc:"Webhook endpoints of one merchant."`
	MaxKeys                  int           `env:"MAX_KEYS" envDefault:"20" desc:"API keys of one merchant."`
	MaxOpenPayments          int           `env:"MAX_OPEN_PAYMENTS" envDefault:"10000" desc:"Open payments of one merchant."`
}

// Tracing is where spans go. Without an endpoint none are sent; traceparent headers are made all the same.
type Tracing struct {
	Endpoint    URL     `env:"OTEL_EXPORTER_OTLP_ENDPOINT" secret:"true" desc:"Base URL of an OTLP/HTTP collector, for example http://otel-collector:4318. Empty sends no spans."`
	Headers     Secret  `env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"true" desc:"Headers for the collector: name=value, comma-separated."`
	ServiceName string  `env:"OTEL_SERVICE_NAME" desc:"Service name in spans. Default ctrip- and the binary's name."`
	SampleRatio float64 `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1" desc:"Share of new traces that are recorded, 0 to 1."`
}

// Caller is a merchant who calls the API with ctripctl, on whatever machine. The services need none of it.
type Caller struct {
	URL string `env:"CTRIP_API_URL" envDefault:"http://127.0.0.1:8080" desc:"Where ctripctl api and ctripctl listen find the gateway, without /api/v1."`
	Key Secret `env:"CTRIP_API_KEY" secret:"true" desc:"The API key with which they call it."`
}

// IsProduction reports whether the strict rules apply. Whatever is not clearly development or test is production.
func (c Config) IsProduction() bool { return c.Env != Development && c.Env != Test }
