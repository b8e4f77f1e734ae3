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

// validate checks every field against what any environment asks. A variable that already has a fault gets no second one.
func (c *Config) validate(o Options, faults *Faults) {
	check := func(name string, ok bool, problem string) {
		if !ok && !faults.Has(name) && !faults.Has(name+"_FILE") {
			faults.add(name, "%s", problem)
		}
	}
	oneOf := func(name, value string, allowed ...string) {
		check(name, slices.Contains(allowed, value), "must be one of "+strings.Join(allowed, ", "))
	}
	between := func(name string, value, low, high time.Duration) {
		check(name, low <= value && value <= high, "must be "+low.String()+" to "+high.String())
	}
	number := func(name string, value, low, high float64) {
		text := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
		check(name, low <= value && value <= high, "must be "+text(low)+" to "+text(high))
	}

	oneOf("ENV", c.Env, Development, Test, Production)
	oneOf("LOG_LEVEL", c.LogLevel, "debug", "info", "warn", "error")
	oneOf("LOG_FORMAT", c.LogFormat, "json", "text")
	check("PUBLIC_URL", plainURL(c.PublicURL, "http", "https"), "is not an http or https URL without user, query and fragment")
	check("API_ADDR", isListener(c.APIAddr), "is not host:port")
	check("OPS_ADDR", c.OpsAddr == "" || isListener(c.OpsAddr), "is not host:port")
	check("OPS_ADDR", c.OpsAddr != c.APIAddr || strings.HasSuffix(c.APIAddr, ":0"), "is API_ADDR as well")
	between("SHUTDOWN_GRACE", c.ShutdownGrace, 0, time.Hour)
	between("MAX_CLOCK_SKEW", c.MaxClockSkew, time.Second, time.Hour)

	if c.Database.URL != "" {
		check("DATABASE_URL", databaseProblem(c.Database.URL, o.AllowSQLite) == "", databaseProblem(c.Database.URL, o.AllowSQLite))
	}
	number("DB_MAX_OPEN_CONNS", float64(c.Database.MaxOpen), 1, 10_000)
	between("DB_CONN_MAX_LIFETIME", c.Database.MaxLifetime, time.Second, 30*day)
	number("REDIS_POOL_SIZE", float64(c.Redis.PoolSize), 1, 10_000)

	number("ADDRESS_BRANCH", float64(c.Payments.AddressBranch), 0, 1<<31-1)
	between("PAYMENT_EXPIRES_IN", c.Payments.ExpiresIn, time.Minute, 7*day)
	between("MONITORING_WINDOW", c.Payments.MonitoringWindow, 0, 365*day)

	w := c.Webhook
	check("WEBHOOK_URL", w.URL == "" || webhookURL(w.URL), "is not an http or https URL with a host and without a user")
	check("WEBHOOK_SECRET", w.Secret == "" || len(w.Secret.bytes()) >= 24, "has fewer than 24 bytes, or is not base64 after whsec_")
	between("WEBHOOK_TIMEOUT", w.Timeout, time.Second, 30*time.Second)
	number("WEBHOOK_MAX_ATTEMPTS", float64(w.MaxAttempts), 1, 1000)
	between("WEBHOOK_RETRY_BASE", w.RetryBase, time.Millisecond, day)
	number("WEBHOOK_RETRY_FACTOR", w.RetryFactor, 1, 100)
	between("WEBHOOK_RETRY_MAX", w.RetryMax, w.RetryBase, 30*day)
	number("WEBHOOK_RETRY_JITTER", w.RetryJitter, 0, 0.9)
	number("WEBHOOK_CONCURRENCY", float64(w.Concurrency), 1, 100_000)
	number("WEBHOOK_LANES", float64(w.Lanes), 1, 64)
	number("WEBHOOK_MAX_IN_FLIGHT", float64(w.MaxInFlight), 1, 100_000)
	number("WEBHOOK_HOST_MAX_IN_FLIGHT", float64(w.HostInFlight), 1, 100_000)
	between("WEBHOOK_POLL_INTERVAL", w.PollInterval, time.Millisecond, time.Minute)
	between("WEBHOOK_RETRY_POLL_INTERVAL", w.RetryPollInterval, time.Millisecond, time.Minute)
	between("WEBHOOK_SWEEP_INTERVAL", w.SweepInterval, 10*time.Millisecond, time.Hour)
	number("WEBHOOK_SWEEP_BATCH", float64(w.SweepBatch), 1, 100_000)
	number("WEBHOOK_COMMIT_BATCH", float64(w.CommitBatch), 1, 10_000)
	between("WEBHOOK_COMMIT_WAIT", w.CommitWait, 0, time.Second)
	between("WEBHOOK_BREAKER_WINDOW", w.BreakerWindow, 10*time.Second, 24*time.Hour)
	number("WEBHOOK_BREAKER_ATTEMPTS", float64(w.BreakerAttempts), 1, 10_000)
	number("WEBHOOK_BREAKER_RATIO", w.BreakerRatio, 0.01, 1)
	number("WEBHOOK_BREAKER_TIMEOUTS", float64(w.BreakerTimeouts), 1, 1000)
	between("WEBHOOK_BREAKER_OPEN", w.BreakerOpen, 100*time.Millisecond, w.BreakerOpenMax)
	between("WEBHOOK_BREAKER_OPEN_MAX", w.BreakerOpenMax, 100*time.Millisecond, 24*time.Hour)
	between("WEBHOOK_DISABLE_AFTER", w.DisableAfter, time.Minute, 365*day)
	between("WEBHOOK_SLOW_ABOVE", w.SlowAbove, time.Millisecond, time.Minute)
	between("WEBHOOK_SECRET_OVERLAP", w.SecretOverlap, 0, 7*day)

	check("EGRESS_PROXY", c.Egress.Proxy == "" || parsesAs(string(c.Egress.Proxy), "http", "https"), "is not an http or https URL")
	for _, list := range []struct {
		name    string
		entries []string
	}{{"EGRESS_IPS", c.Egress.IPs}, {"TRUSTED_PROXIES", c.API.Proxies}} {
		for _, entry := range list.entries {
			_, err := ParseNetwork(entry)
			check(list.name, err == nil, "lists something that is neither an IP address nor a CIDR")
		}
	}

	r := c.Retention
	check("SECRET_MAX_AGE", c.Webhook.SecretMaxAge == 0 || c.Webhook.SecretMaxAge >= day && c.Webhook.SecretMaxAge <= 3650*day, "is neither 0 nor 1d to 3650d")
	check("RETENTION_DELIVERIES", r.Deliveries == 0 || r.Deliveries >= day && r.Deliveries <= 3650*day, "is neither 0 nor 1d to 3650d")
	check("RETENTION_EVENTS", r.Events == 0 || r.Deliveries != 0 && r.Events >= r.Deliveries && r.Events <= 3650*day, "is neither 0 nor between RETENTION_DELIVERIES and 3650d")

	for _, origin := range c.API.Origins {
		u, err := url.Parse(origin)
		check("API_CORS_ORIGINS", err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host, "lists something that is no web origin, such as https://shop.example")
	}
	number("API_RATE", c.API.Rate, 0.1, 1_000_000)
	number("API_BURST", float64(c.API.Burst), 1, 1_000_000)
	between("API_TIMEOUT", c.API.Timeout, time.Second, 10*time.Minute)
	number("MAX_ENDPOINTS", float64(c.API.MaxEndpoints), 1, 10_000)
	number("MAX_KEYS", float64(c.API.MaxKeys), 1, 10_000)
	number("MAX_OPEN_PAYMENTS", float64(c.API.MaxOpenPayments), 1, 10_000_000)

	check("OTEL_EXPORTER_OTLP_ENDPOINT", c.Tracing.Endpoint == "" || parsesAs(string(c.Tracing.Endpoint), "http", "https"), "is not an http or https URL")
	number("OTEL_TRACES_SAMPLER_ARG", c.Tracing.SampleRatio, 0, 1)
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
	return err == nil && u.Hostname() != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https") && len(raw) <= 2048
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}
