package wallet_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/tyler-smith/go-bip39"
	"pgregory.net/rapid"
)

const junk = "test test test test test test test test test test test junk"

// path derives a key from a seed; numbers from 2^31 up are hardened.
func path(t testing.TB, seed []byte, net *chaincfg.Params, numbers ...uint32) *hdkeychain.ExtendedKey {
	t.Helper()
	key, err := hdkeychain.NewMaster(seed, net)
	for _, n := range numbers {
		if err == nil {
			key, err = key.Derive(n)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(t testing.TB, key *hdkeychain.ExtendedKey) string {
	t.Helper()
	neutered, err := key.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	return neutered.String()
}

const h = hdkeychain.HardenedKeyStart

func seed() []byte { return bip39.NewSeed(junk, "") }

func account(t testing.TB, n uint32) *hdkeychain.ExtendedKey {
	return path(t, seed(), &chaincfg.MainNetParams, h+44, h+60, h+n)
}

func TestWellKnownAddresses(t *testing.T) {
	a, err := wallet.Parse("\n " + public(t, account(t, 0)) + " ")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
		"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
		"0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
	} {
		got, err := a.Address(0, uint32(i))
		if err != nil || got != want {
			t.Errorf("0/%d: %s, %v, want %s", i, got, err, want)
		}
	}
	if got := a.Path(0, 7); got != "m/44'/60'/0'/0/7" {
		t.Error(got)
	}
}

// TestAgainstPrivateDerivation: what we derive from the xpub is what the owner's wallet derives from the private key.
func TestAgainstPrivateDerivation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Uint32Range(0, 50).Draw(rt, "account")
		branch := rapid.Uint32Range(0, h-1).Draw(rt, "branch")
		index := rapid.Uint32Range(0, h-1).Draw(rt, "index")
		private := account(t, n)
		a, err := wallet.Parse(public(t, private))
		if err != nil {
			rt.Fatal(err)
		}
		got, err := a.Address(branch, index)
		if err != nil {
			rt.Fatal(err)
		}
		child := path(t, seed(), &chaincfg.MainNetParams, h+44, h+60, h+n, branch, index)
		secret, err := child.ECPrivKey()
		if err != nil {
			rt.Fatal(err)
		}
		ecdsa, err := crypto.ToECDSA(secret.Serialize())
		if err != nil {
			rt.Fatal(err)
		}
		if want := crypto.PubkeyToAddress(ecdsa.PublicKey).Hex(); got != want {
			rt.Fatalf("%s: %s, want %s", a.Path(branch, index), got, want)
		}
		if lower, err := a.LowerAddress(branch, index); err != nil || lower != strings.ToLower(got) {
			rt.Fatalf("%s: %s in lower case, %v, want %s", a.Path(branch, index), lower, err, got)
		}
		if want := fmt.Sprintf("m/44'/60'/%d'/%d/%d", n, branch, index); a.Path(branch, index) != want {
			rt.Fatalf("path %s, want %s", a.Path(branch, index), want)
		}
	})
}

// TestAgainstTheLibrary: a thousand addresses in a row are those of the keys that the library derives.
func TestAgainstTheLibrary(t *testing.T) {
	branch := path(t, seed(), &chaincfg.MainNetParams, h+44, h+60, h, 3)
	a, err := wallet.Parse(public(t, account(t, 0)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(1000) {
		child, err := branch.Derive(i)
		if err != nil {
			t.Fatal(err)
		}
		key, err := child.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Address(3, i); err != nil || got != crypto.PubkeyToAddress(*key.ToECDSA()).Hex() {
			t.Fatalf("3/%d: %s, %v", i, got, err)
		}
	}
}

// TestBIP32Vectors takes test vector 2 of BIP-32 to its third level, and vector 1 to show which depths are refused.
func TestBIP32Vectors(t *testing.T) {
	s, _ := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	deep := map[string][]uint32{
		"xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8": {},
		"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ": {h, 1},
		"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5": {h, 1, h + 2},
		"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV": {h, 1, h + 2, 2},
	}
	for xpub, numbers := range deep {
		if got := public(t, path(t, s, &chaincfg.MainNetParams, numbers...)); got != xpub {
			t.Fatalf("the vector is mistyped: %s", got)
		}
		_, err := wallet.Parse(xpub)
		if len(numbers) == 3 && err != nil {
			t.Error(err)
		}
		if len(numbers) != 3 && !errors.Is(err, wallet.ErrDepth) {
			t.Errorf("depth %d: %v", len(numbers), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	private := account(t, 0)
	xpub := public(t, private)
	testnet := path(t, seed(), &chaincfg.TestNet3Params, h+44, h+60, h)
	typo := xpub[:60] + string(rune(xpub[60]^1)) + xpub[61:]
	mnemonic24, _ := bip39.NewMnemonic(make([]byte, 32))
	// A private key under the version bytes of a public one.
	disguised, err := private.CloneWithVersion([]byte{0x04, 0x88, 0xb2, 0x1e})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, input string
		want        error
	}{
		{"xprv", private.String(), wallet.ErrPrivateKey},
		{"tprv", testnet.String(), wallet.ErrPrivateKey},
		{"xprv with a typing error", private.String()[:50] + "1" + private.String()[51:], wallet.ErrPrivateKey},
		{"xprv behind a label", "key=" + private.String(), wallet.ErrPrivateKey},
		{"xprv disguised as xpub", disguised.String(), wallet.ErrPrivateKey},
		{"raw private key", strings.Repeat("ab", 32), wallet.ErrPrivateKey},
		{"raw private key, 0x", "0x" + strings.Repeat("AB", 32), wallet.ErrPrivateKey},
		{"12 words", junk, wallet.ErrMnemonic},
		{"12 words, typing error", strings.Replace(junk, "junk", "jnuk", 1), wallet.ErrMnemonic},
		{"12 words, commas", strings.ReplaceAll(junk, " ", ","), wallet.ErrMnemonic},
		{"24 words, lines", strings.ReplaceAll(mnemonic24, " ", "\r\n"), wallet.ErrMnemonic},
		{"tpub", public(t, testnet), wallet.ErrOtherNetwork},
		{"typing error", typo, wallet.ErrFormat},
		{"cut", xpub[:100], wallet.ErrFormat},
		{"empty", "", wallet.ErrFormat},
		{"address", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", wallet.ErrIsAddress},
		{"address in capitals", "0XF39FD6E51AAD88F6F4CE6AB8827279CFFFB92266", wallet.ErrIsAddress},
		{"address without 0x", " f39Fd6e51aad88F6F4ce6aB8827279cffFb92266", wallet.ErrIsAddress},
		{"half an address", "0xf39Fd6e51aad88F6F4ce6aB8827279", wallet.ErrFormat},
		{"public key", "0x038318535b54105d4a7aae60c08fc45f9687181b4fdfc625bd1a753fa7397fed75", wallet.ErrPublicKey},
		{"zpub", "zpub" + xpub[4:], wallet.ErrOtherNetwork},
		{"purpose", public(t, path(t, seed(), &chaincfg.MainNetParams, h+44, h+60)), wallet.ErrDepth},
		{"branch", public(t, path(t, seed(), &chaincfg.MainNetParams, h+44, h+60, h, 0)), wallet.ErrDepth},
		{"account not hardened", public(t, path(t, seed(), &chaincfg.MainNetParams, h+44, h+60, 0)), wallet.ErrDepth},
	} {
		a, err := wallet.Parse(c.input)
		if !errors.Is(err, c.want) || a != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && len(c.input) > 8 && strings.Contains(err.Error(), c.input[4:]) {
			t.Errorf("%s: the error repeats the input", c.name)
		}
	}
}

func TestKeyID(t *testing.T) {
	first, _ := wallet.Parse(public(t, account(t, 0)))
	again, _ := wallet.Parse(public(t, account(t, 0)))
	other, _ := wallet.Parse(public(t, account(t, 1)))
	if first.KeyID() != again.KeyID() || first.KeyID() == other.KeyID() || len(first.KeyID()) != 64 {
		t.Error(first.KeyID(), again.KeyID(), other.KeyID())
	}
}

func TestHardenedIndexRefused(t *testing.T) {
	a, _ := wallet.Parse(public(t, account(t, 0)))
	for _, at := range [][2]uint32{{h, 0}, {0, h}, {0, 1<<32 - 1}} {
		if got, err := a.Address(at[0], at[1]); !errors.Is(err, wallet.ErrIndex) || got != "" {
			t.Errorf("%v: %s, %v", at, got, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	a, _ := wallet.Parse(public(t, account(t, 0)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for branch := range uint32(20) {
				if _, err := a.Address(branch, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestEIP55Vectors(t *testing.T) {
	for _, v := range []string{
		"0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
		"0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	} {
		lower := strings.ToLower(v)
		if got := wallet.Checksum(lower); got != v {
			t.Errorf("%s, want %s", got, v)
		}
		for _, spelling := range []string{v, lower, "0x" + strings.ToUpper(lower[2:]), strings.ToUpper(lower)} {
			if got, err := wallet.ParseAddress(spelling); got != lower || err != nil {
				t.Errorf("%s: %s, %v", spelling, got, err)
			}
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	good := "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	for input, want := range map[string]error{
		"":                     wallet.ErrAddress,
		"0x":                   wallet.ErrAddress,
		good[2:]:               wallet.ErrAddress,
		good + "0":             wallet.ErrAddress,
		good[:41]:              wallet.ErrAddress,
		good[:41] + "g":        wallet.ErrAddress,
		" " + good:             wallet.ErrAddress,
		good[:38] + "İ" + "00": wallet.ErrAddress,
		"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": wallet.ErrChecksum,
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAec": wallet.ErrChecksum,
	} {
		if got, err := wallet.ParseAddress(input); !errors.Is(err, want) || got != "" {
			t.Errorf("%q: %q, %v, want %v", input, got, err, want)
		}
	}
	if got := wallet.Checksum("native"); got != "native" {
		t.Error(got)
	}
}

func TestChecksumAgreesWithGoEthereum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var raw common.Address
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		if got := wallet.Checksum(strings.ToLower(raw.Hex())); got != raw.Hex() {
			t.Fatalf("%s, want %s", got, raw.Hex())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(public(f, account(f, 0)))
	f.Add(junk)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := wallet.Parse(text)
		if (a == nil) == (err == nil) {
			t.Fatal(a, err)
		}
		if a != nil {
			if _, err := a.Address(0, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	f.Add("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	f.Fuzz(func(t *testing.T, s string) {
		lower, err := wallet.ParseAddress(s)
		if err == nil && (!strings.EqualFold(lower, s) || !common.IsHexAddress(s)) {
			t.Fatalf("%q: %q", s, lower)
		}
	})
}

func BenchmarkAddress(b *testing.B) {
	a, _ := wallet.Parse(public(b, account(b, 0)))
	b.ReportAllocs()
	for i := range b.N {
		if _, err := a.Address(0, uint32(i)); err != nil {
			b.Fatal(err)
		}
	}
}
