package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// The gateway derives addresses from public keys only. A private key in its environment is therefore a mistake that
// could cost a merchant's money, and no process starts with one, whatever ENV says.

var (
	extendedPrivateKey = regexp.MustCompile(`(^|[^A-Za-z0-9])[xtyzuvYZUV]prv[1-9A-HJ-NP-Za-km-z]{8,}`)
	pemPrivateKey      = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)
	hexPrivateKey      = regexp.MustCompile(`^0[xX][0-9A-Fa-f]{64}$`)
	words              = regexp.MustCompile(`[A-Za-z]+|[^A-Za-z\s,_-]+`)
)

// shortestMnemonic is the number of words in the shortest BIP-39 phrase.
const shortestMnemonic = 12

// clientKey is the one setting that is a private key: it shows Redis who we are and signs nothing on a chain.
const clientKey = "REDIS_KEY"

// forbiddenNames refuses variables of the whole environment whose name says that they hold a private key.
func forbiddenNames(environ map[string]string, errs *FieldErrors) {
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		upper := strings.ToUpper(name)
		if environ[name] == "" {
			continue
		}
		for _, word := range []string{"PRIVATE_KEY", "MNEMONIC"} {
			if strings.Contains(upper, word) {
				errs.add(name, "the gateway never needs a private key or mnemonic; unset it")
				break
			}
		}
	}
}

// forbiddenValues refuses keys and phrases wherever they stand. Hex and PEM keys are looked for in our own settings
// only, because other programs may have honest uses for such values.
func forbiddenValues(environ map[string]string, known func(string) bool, errs *FieldErrors) {
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		kind := privateKeyIn(environ[name])
		if kind == "" && known(name) {
			switch value := strings.TrimSpace(environ[name]); {
			case pemPrivateKey.MatchString(value) && name != clientKey:
				kind = "a PEM private key"
			case hexPrivateKey.MatchString(value):
				kind = "what looks like a raw private key"
			}
		}
		if kind != "" {
			errs.add(name, "holds %s; remove it, and treat that key as exposed", kind)
		}
	}
}

// privateKeyIn names the kind of private key that text contains, or nothing.
func privateKeyIn(text string) string {
	if len(text) < 12 {
		return ""
	}
	if extendedPrivateKey.MatchString(text) {
		return "an extended private key"
	}
	run := 0
	for _, word := range words.FindAllString(text, -1) {
		if _, listed := bip39.GetWordIndex(strings.ToLower(word)); !listed {
			run = 0
			continue
		}
		if run++; run >= shortestMnemonic {
			return "a mnemonic phrase"
		}
	}
	return ""
}
