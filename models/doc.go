// Package models holds the nouns of the gateway and their laws: merchants, payments, transfers, events, endpoints,
// deliveries, attempts, and the tables that say how each may move.
//
// It promises that an [Amount] is always an integer of base units between 0 and 2^256−1, that an id names its kind by
// its prefix, and that the transition tables are the only place where a status change is allowed or refused. It reads
// no clock, opens no connection and imports nothing but the standard library. Every other package may import it.
//
// The GORM tags name columns only; the tables themselves are made by the numbered migrations of internal/store.
package models
