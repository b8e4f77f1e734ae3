// Command chaos injects faults into a gateway of real processes and holds what arrived against what was sent:
//
//	CHAOS_EVENTS=20000 CHAOS_SEED=7 CHAOS_FAULTS=worker-kill-before-ack,redis-flushall go run ./test/chaos
//
// An API, two workers, Redis and Postgres (fsync on) run behind TCP proxies, payments are created and canceled over
// REST, and a receiver takes the webhooks. Faults are injected at seeded moments, which are found from outside: a proxy
// sees the n-th task taken or the n-th commit answered, the receiver has just sent a 2xx. No shipped code knows of it.
//
// A plan ([NewPlan]) is made of the seed alone. The gateway behind its proxies is in harness.go and proxy.go, the
// faults are in inject.go. What the run saw is [Evidence], and [Judge], which only computes, says what it proves.
// docs/reliability.md defines every number of the last line:
//
//	events=N delivered=N lost=N duplicates=N foreign=N allowed=N
//
// CHAOS_PART=scanner runs the part about money that arrives instead, see package money.
//
// The exit status is 0 only when delivered = events, lost = foreign = 0, duplicates ≤ allowed, and nothing is left
// behind in Postgres or in Redis.
//
// CHAOS_EVENTS (20000) is how many events are made, CHAOS_SEED repeats a plan, CHAOS_FAULTS chooses faults by name
// ("none" for none), CHAOS_MIN (5) is how often each is injected, CHAOS_AWAY (60s) how long Postgres stays away.
package main
