// Package app makes processes of the packages: it opens what a role needs, starts it, answers for its health,
// and takes it down again in the opposite order. [Main] is what the three binaries call; the quickstart calls [New]
// with all roles at once and a store of its own. Nothing here decides anything about payments or deliveries.
package app
