// Package config reads the settings of every binary once, checks them all together, and hands out one typed value.
//
// It promises that [Load] either returns a [Config] that is whole and usable or one [*FieldErrors] that names every
// fault at once; that no error, log line, JSON document or %v of anything here shows a secret; that production does not
// start on missing, short, default or repeated secrets; and that no environment starts with a private key, an extended
// private key or a mnemonic among its settings. docs/configuration.md and .env.example are generated from the struct
// itself.
//
// It does not connect to anything: whether the database answers, its schema is current or a chain has the id it claims
// is for the packages that talk to them. It imports nothing of ours, is the only package that reads the environment,
// and the only one that knows YAML. The programs read it; packages get plain values out of it through their Options.
package config

//go:generate go test -count 1 -run ^TestReference$ . -update
