package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// validate checks every field against what any environment asks. A variable that is wrong already gets no second
// message.
func (c *Config) validate(o Options, errs *FieldErrors) {
	v := validator{errs}
	c.validateProcess(v)
	c.validateStores(v, o)
	c.validatePayments(v)
	c.Webhook.validateSending(v)
	c.Webhook.validateBreaker(v)
	c.validateEgress(v)
	c.validateRetention(v)
	c.API.validate(v)
	c.validateTracing(v)
}

// validator adds what is wrong to errs.
type validator struct{ errs *FieldErrors }

func (v validator) check(name string, ok bool, problem string) {
	if !ok && !v.errs.Has(name) && !v.errs.Has(name+"_FILE") {
		v.errs.add(name, "%s", problem)
	}
}

func (v validator) oneOf(name, value string, allowed ...string) {
	v.check(name, slices.Contains(allowed, value), "must be one of "+strings.Join(allowed, ", "))
}

func (v validator) between(name string, value, low, high time.Duration) {
	v.check(name, low <= value && value <= high, "must be "+low.String()+" to "+high.String())
}

func (v validator) number(name string, value, low, high float64) {
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	v.check(name, low <= value && value <= high, "must be "+text(low)+" to "+text(high))
}

func (c *Config) validateProcess(v validator) {
	v.oneOf("ENV", c.Env, Development, Test, Production)
	v.oneOf("LOG_LEVEL", c.LogLevel, "debug", "info", "warn", "error")
	v.oneOf("LOG_FORMAT", c.LogFormat, "json", "text")
	v.check("PUBLIC_URL", plainURL(c.PublicURL, "http", "https"),
		"is not an http or https URL without user, query and fragment")
	v.check("API_ADDR", isListener(c.APIAddr), "is not host:port")
	v.check("OPS_ADDR", c.OpsAddr == "" || isListener(c.OpsAddr), "is not host:port")
	v.check("OPS_ADDR", c.OpsAddr != c.APIAddr || strings.HasSuffix(c.APIAddr, ":0"), "is API_ADDR as well")
	v.between("SHUTDOWN_GRACE", c.ShutdownGrace, 0, time.Hour)
	v.between("MAX_CLOCK_SKEW", c.MaxClockSkew, time.Second, time.Hour)
	v.between("WATCH_INTERVAL", c.WatchInterval, time.Second, time.Hour)
}

func (c *Config) validateStores(v validator, o Options) {
	for name, u := range map[string]URL{"DATABASE_URL": c.Database.URL, "DATABASE_MIGRATE_URL": c.Database.MigrateURL} {
		if u != "" {
			v.check(name, databaseProblem(u, o.AllowSQLite) == "", databaseProblem(u, o.AllowSQLite))
		}
	}
	v.number("DB_MAX_OPEN_CONNS", float64(c.Database.MaxOpen), 1, 10_000)
	v.between("DB_CONN_MAX_LIFETIME", c.Database.MaxLifetime, time.Second, 30*day)
	v.number("REDIS_POOL_SIZE", float64(c.Redis.PoolSize), 1, 10_000)
	v.check("REDIS_BATCHING", c.Redis.Batching == "on" || c.Redis.Batching == "off", "is neither on nor off")
	tls := c.Redis.CA != "" || c.Redis.Cert != "" || c.Redis.Key != ""
	v.check("REDIS_CA", !tls || len(c.Redis.Server.Addrs) == 0 || c.Redis.Server.TLS,
		"is of no use without rediss:// in REDIS_URL")
	v.check("REDIS_CERT", (c.Redis.Cert == "") == (c.Redis.Key == ""), "goes together with REDIS_KEY")
}

func (c *Config) validatePayments(v validator) {
	v.number("ADDRESS_BRANCH", float64(c.Payments.AddressBranch), 0, 1<<31-1)
	v.between("PAYMENT_EXPIRES_IN", c.Payments.ExpiresIn, time.Minute, 7*day)
	v.between("MONITORING_WINDOW", c.Payments.MonitoringWindow, 0, 365*day)
}

func (w Webhook) validateSending(v validator) {
	v.check("WEBHOOK_URL", w.URL == "" || webhookURL(w.URL), "is not an http or https URL with a host and without a user")
	v.check("WEBHOOK_SECRET", w.Secret == "" || len(w.Secret.bytes()) >= 24,
		"has fewer than 24 bytes, or is not base64 after whsec_")
	v.between("WEBHOOK_TIMEOUT", w.Timeout, time.Second, 30*time.Second)
	v.number("WEBHOOK_MAX_ATTEMPTS", float64(w.MaxAttempts), 1, 1000)
	v.between("WEBHOOK_RETRY_BASE", w.RetryBase, time.Millisecond, day)
	v.number("WEBHOOK_RETRY_FACTOR", w.RetryFactor, 1, 100)
	v.between("WEBHOOK_RETRY_MAX", w.RetryMax, w.RetryBase, 30*day)
	v.number("WEBHOOK_RETRY_JITTER", w.RetryJitter, 0, 0.9)
	v.number("WEBHOOK_CONCURRENCY", float64(w.Concurrency), 1, 100_000)
	v.number("WEBHOOK_LANES", float64(w.Lanes), 1, 64)
	v.number("WEBHOOK_MAX_IN_FLIGHT", float64(w.MaxInFlight), 1, 100_000)
	v.number("WEBHOOK_HOST_MAX_IN_FLIGHT", float64(w.HostInFlight), 1, 100_000)
	v.between("WEBHOOK_POLL_INTERVAL", w.PollInterval, time.Millisecond, time.Minute)
	v.between("WEBHOOK_RETRY_POLL_INTERVAL", w.RetryPollInterval, time.Millisecond, time.Minute)
	v.between("WEBHOOK_SWEEP_INTERVAL", w.SweepInterval, 10*time.Millisecond, time.Hour)
	v.number("WEBHOOK_SWEEP_BATCH", float64(w.SweepBatch), 1, 100_000)
	v.number("WEBHOOK_COMMIT_BATCH", float64(w.CommitBatch), 1, 10_000)
	v.between("WEBHOOK_COMMIT_WAIT", w.CommitWait, 0, time.Second)
}

func (w Webhook) validateBreaker(v validator) {
	v.between("WEBHOOK_BREAKER_WINDOW", w.BreakerWindow, 10*time.Second, 24*time.Hour)
	v.number("WEBHOOK_BREAKER_ATTEMPTS", float64(w.BreakerAttempts), 1, 10_000)
	v.number("WEBHOOK_BREAKER_RATIO", w.BreakerRatio, 0.01, 1)
	v.number("WEBHOOK_BREAKER_TIMEOUTS", float64(w.BreakerTimeouts), 1, 1000)
	v.between("WEBHOOK_BREAKER_OPEN", w.BreakerOpen, 100*time.Millisecond, w.BreakerOpenMax)
	v.between("WEBHOOK_BREAKER_OPEN_MAX", w.BreakerOpenMax, 100*time.Millisecond, 24*time.Hour)
	v.between("WEBHOOK_DISABLE_AFTER", w.DisableAfter, time.Minute, 365*day)
	v.between("WEBHOOK_SLOW_ABOVE", w.SlowAbove, time.Millisecond, time.Minute)
	v.between("WEBHOOK_SECRET_OVERLAP", w.SecretOverlap, 0, 7*day)
}

func (c *Config) validateEgress(v validator) {
	v.check("EGRESS_PROXY", c.Egress.Proxy == "" || parsesAs(string(c.Egress.Proxy), "http", "https", "socks5"),
		"is not an http or https URL")
	for _, list := range []struct {
		name    string
		entries []string
	}{{"EGRESS_IPS", c.Egress.IPs}, {"TRUSTED_PROXIES", c.API.Proxies}} {
		for _, entry := range list.entries {
			_, err := ParseNetwork(entry)
			v.check(list.name, err == nil, "lists something that is neither an IP address nor a CIDR")
		}
	}
}

func (c *Config) validateRetention(v validator) {
	r := c.Retention
	v.check("SECRET_MAX_AGE", c.Webhook.SecretMaxAge == 0 || c.Webhook.SecretMaxAge >= day &&
		c.Webhook.SecretMaxAge <= 3650*day, "is neither 0 nor 1d to 3650d")
	v.check("RETENTION_DELIVERIES", r.Deliveries == 0 || r.Deliveries >= day && r.Deliveries <= 3650*day,
		"is neither 0 nor 1d to 3650d")
	v.check("RETENTION_EVENTS", r.Events == 0 || r.Deliveries != 0 && r.Events >= r.Deliveries && r.Events <= 3650*day,
		"is neither 0 nor between RETENTION_DELIVERIES and 3650d")
}

func (a API) validate(v validator) {
	for _, origin := range a.Origins {
		u, err := url.Parse(origin)
		v.check("API_CORS_ORIGINS", err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
			origin == u.Scheme+"://"+u.Host, "lists something that is no web origin, such as https://shop.example")
	}
	v.number("API_RATE", a.Rate, 0.1, 1_000_000)
	v.number("API_BURST", float64(a.Burst), 1, 1_000_000)
	v.number("PAGES_RATE", a.PageRate, 0, 1_000_000)
	v.number("PAGES_BURST", float64(a.PageBurst), 1, 1_000_000)
	v.between("API_TIMEOUT", a.Timeout, time.Second, 10*time.Minute)
	v.between("API_ANSWER_TIMEOUT", a.AnswerTimeout, time.Second, 10*time.Minute)
	v.number("API_MAX_CONNECTIONS", float64(a.MaxConnections), 1, 1_000_000)
	v.number("API_MAX_CONNECTIONS_PER_ADDRESS", float64(a.MaxConnectionsPerAddress), 0, 1_000_000)
	v.number("MAX_ENDPOINTS", float64(a.MaxEndpoints), 1, 10_000)
	v.number("MAX_KEYS", float64(a.MaxKeys), 1, 10_000)
	v.number("MAX_OPEN_PAYMENTS", float64(a.MaxOpenPayments), 1, 10_000_000)
}

func (c *Config) validateTracing(v validator) {
	v.check("OTEL_EXPORTER_OTLP_ENDPOINT", c.Tracing.Endpoint == "" ||
		parsesAs(string(c.Tracing.Endpoint), "http", "https"), "is not an http or https URL")
	v.number("OTEL_TRACES_SAMPLER_ARG", c.Tracing.SampleRatio, 0, 1)
}

// ParseNetwork reads a CIDR, or an IP address as the network of that address alone.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

func databaseProblem(u URL, allowSQLite bool) string {
	raw := strings.ToLower(string(u))
	if strings.HasPrefix(raw, "sqlite:") || strings.HasPrefix(raw, "sqlite3:") || strings.HasPrefix(raw, "file:") {
		if allowSQLite {
			return ""
		}
		return "names SQLite, which exists only inside the quickstart; use postgres://"
	}
	p, ok := splitURL(string(u))
	switch {
	case ok && (p.scheme == "postgres" || p.scheme == "postgresql"):
		return ""
	case !ok && (strings.HasPrefix(raw, "postgres://") || strings.HasPrefix(raw, "postgresql://")):
		return "cannot be read; percent-encode / ? # @ in the password"
	}
	return "is not postgres://user:password@host:port/database"
}

func isListener(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || strings.ContainsAny(host, "/@ ") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func parsesAs(raw string, schemes ...string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Hostname() != "" && slices.Contains(schemes, u.Scheme)
}

func plainURL(raw string, schemes ...string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Hostname() != "" && slices.Contains(schemes, u.Scheme) &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func webhookURL(raw URL) bool {
	u, err := url.Parse(string(raw))
	return err == nil && u.Hostname() != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https") &&
		len(raw) <= 2048
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}
