package jobs

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// explanations are what the errors of a Redis mean that cannot be used at all, by a part of their text.
var explanations = []struct{ sign, means string }{
	{"sentinel|", "the user of the sentinels (sentinel_user) lacks rights: docs/redis.md has its line"},
	{"noperm", "the user lacks rights: docs/redis.md has the line of ACL SETUSER"},
	{"wrongpass", "user or password are wrong (those of sentinels are sentinel_user and sentinel_password)"},
	{"invalid password", "the password is wrong"},
	{"noauth", "Redis wants a password: redis://user:password@host (those of sentinels: sentinel_user, sentinel_password)"},
	{"certificate required", "Redis wants a client certificate: REDIS_CERT and REDIS_KEY"},
	{"unknown certificate authority", "Redis does not know the authority of REDIS_CERT"},
	{"signed by unknown authority", "the authority of its certificate is not known: give it as REDIS_CA"},
	{"failed to verify certificate", "its certificate is not one for the host that REDIS_URL, a sentinel or the cluster names"},
	{"does not look like a tls handshake", "Redis speaks no TLS: say redis:// instead of rediss://"},
	{"cluster support disabled", "this is no cluster: say redis:// instead of redis-cluster://"},
	{"unknown command 'sentinel'", "these are no sentinels: say redis:// instead of redis-sentinel://"},
	{"unknown command `sentinel`", "these are no sentinels: say redis:// instead of redis-sentinel://"},
	{"db index is out of range", "REDIS_URL ends with a number of a database that this Redis does not have"},
	{"select is not allowed in cluster mode", "a cluster has one database: say redis-cluster:// and no number"},
	{"max number of clients", "Redis has as many clients as maxclients allows"},
}

// Explain says in words what an error of [Redis.Ping] means, "" where it has no other meaning than its text.
func (r *Redis) Explain(err error) string {
	if errors.Is(err, redis.Nil) {
		return "the sentinels know no master of that name: see ?master= of REDIS_URL"
	}
	text := strings.ToLower(err.Error())
	for _, e := range explanations {
		if strings.Contains(text, e.sign) {
			return e.means
		}
	}
	if strings.Contains(text, "eof") || strings.Contains(text, "connection reset") ||
		strings.Contains(text, "broken pipe") {
		wants := "TLS (rediss://)"
		if r.tls {
			wants = "a client certificate (REDIS_CERT and REDIS_KEY)"
		}
		return "Redis ended the connection: does it want " + wants + ", or has it too many clients?"
	}
	if r.tls && errors.Is(err, context.DeadlineExceeded) {
		return "nobody answers there by TLS: is Redis running, and does it want redis:// instead of rediss://?"
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "jobs: redis: "), " ")
	return refusals[first]
}
