// Package cli is ctripctl, the tool of merchants and operators: the cobra commands, their flags and what they print.
// Merchants reach the gateway over its REST API: payments, events, deliveries and endpoints, and a receiver on their
// own machine that events are forwarded to. Operators work on its database: migrations, merchants, API keys, endpoints,
// the audit log, and a doctor.
//
// Results go to standard output, as a table for people or, with --json, as JSON whose keys do not change; errors go to
// standard error. It exits with 0 when the command did what it says, 1 when it could not, and 2 when it was called
// wrongly. Secrets are read from files, standard input or named variables, never from arguments, and are shown once,
// when they are made.
//
// It decides nothing: what the commands do is in internal/admin, or the API's. A command needs only the settings that
// it uses, and `ctripctl webhook` needs none.
package cli
