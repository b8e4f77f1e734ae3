package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/vault"
	"pgregory.net/rapid"
)

func key(id string, fill byte) vault.Key {
	k := vault.Key{ID: id}
	for i := range k.Secret {
		k.Secret[i] = fill
	}
	return k
}

func open(t testing.TB, keys ...vault.Key) *vault.Vault {
	t.Helper()
	v, err := vault.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const location = "endpoint_secrets/we_1/secret"

func TestRoundTrip(t *testing.T) {
	v := open(t, key("k1", 7))
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		aad := rapid.String().Draw(rt, "aad")
		sealed, err := v.Seal(plain, aad)
		if err != nil {
			rt.Fatal(err)
		}
		if len(plain) > 7 && bytes.Contains(sealed, plain) {
			rt.Fatal("the plaintext shows")
		}
		if got, err := v.Open(sealed, aad); err != nil || !bytes.Equal(got, plain) {
			rt.Fatal(got, err)
		}
		if _, err := v.Open(sealed, aad+"x"); !errors.Is(err, vault.ErrAuthentication) {
			rt.Fatal(err)
		}
		if v.NeedsReseal(sealed) {
			rt.Fatal("sealed by the current key")
		}
	})
}

// known is "whsec_secret" sealed at location under key k1 = 07×32 with nonce 000102…0b, made with Python's cryptography
// and again with Node's crypto.
const known = "01026b31000102030405060708090a0b6fe99a157e56aa2c14c080e88a0fe6e0a9a4508c5a1388e193b4a8f7"

// TestKnownAnswer freezes the layout: what an earlier build sealed must open for ever.
func TestKnownAnswer(t *testing.T) {
	sealed, err := hex.DecodeString(known)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(t, key("k1", 7)).Open(sealed, location)
	if err != nil || string(got) != "whsec_secret" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestSealedTwiceDiffers(t *testing.T) {
	v := open(t, key("k1", 7))
	a, _ := v.Seal([]byte("same"), location)
	b, _ := v.Seal([]byte("same"), location)
	if bytes.Equal(a, b) {
		t.Error("a nonce was used twice")
	}
}

// TestEveryBitCounts flips each bit of a sealed value: none of the results opens.
func TestEveryBitCounts(t *testing.T) {
	v := open(t, key("k1", 7), key("k0", 7)) // the same key under another id: the id is authenticated too
	sealed, _ := v.Seal([]byte("whsec_secret"), location)
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		if got, err := v.Open(changed, location); err == nil || got != nil {
			t.Fatalf("bit %d: opened", i)
		}
	}
	for n := range len(sealed) {
		if _, err := v.Open(sealed[:n], location); err == nil {
			t.Fatalf("%d bytes of %d opened", n, len(sealed))
		}
	}
	if _, err := v.Open(append(bytes.Clone(sealed), 0), location); !errors.Is(err, vault.ErrAuthentication) {
		t.Error(err)
	}
}

func TestRotation(t *testing.T) {
	old := open(t, key("2025", 1))
	sealed, _ := old.Seal([]byte("s"), location)
	both := open(t, key("2026", 2), key("2025", 1))
	if id, err := vault.KeyID(sealed); id != "2025" || err != nil {
		t.Fatal(id, err)
	}
	if got, err := both.Open(sealed, location); string(got) != "s" || err != nil || !both.NeedsReseal(sealed) {
		t.Fatal(got, err)
	}
	again, err := both.Reseal(sealed, location)
	if err != nil || both.NeedsReseal(again) || both.CurrentKeyID() != "2026" {
		t.Fatal(err)
	}
	only := open(t, key("2026", 2))
	if got, err := only.Open(again, location); string(got) != "s" || err != nil {
		t.Fatal(got, err)
	}
	var unknown *vault.UnknownKeyError
	if _, err := only.Open(sealed, location); !errors.As(err, &unknown) || unknown.ID != "2025" ||
		!strings.Contains(err.Error(), `"2025"`) {
		t.Fatal(err)
	}
	if _, err := only.Reseal(sealed, location); !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if _, err := open(t, key("2025", 9)).Open(sealed, location); !errors.Is(err, vault.ErrAuthentication) {
		t.Fatal("another key under the same id:", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, keys := range map[string][]vault.Key{
		"none":     nil,
		"no id":    {key("", 1)},
		"long id":  {key(strings.Repeat("a", 33), 1)},
		"odd id":   {key("a:b", 1)},
		"zeros":    {key("a", 0)},
		"repeated": {key("a", 1), key("a", 2)},
	} {
		if v, err := vault.New(keys); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	open(t, key(strings.Repeat("a", 32), 1))
}

func TestMalformed(t *testing.T) {
	v := open(t, key("k1", 7))
	for _, sealed := range [][]byte{nil, {1}, {1, 2}, make([]byte, 100), {2, 2, 'k', '1'},
		append([]byte{1, 0}, make([]byte, 40)...),
		append([]byte{1, 2, '"', 0}, make([]byte, 40)...), append([]byte{1, 200, 'k', '1'}, make([]byte, 400)...)} {
		if _, err := v.Open(sealed, location); !errors.Is(err, vault.ErrMalformed) {
			t.Errorf("%x: %v", sealed, err)
		}
		if v.NeedsReseal(sealed) {
			t.Errorf("%x: nothing to seal again", sealed)
		}
	}
}

func TestKeyRedactsItself(t *testing.T) {
	k := key("k1", 0xAB)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, []*vault.Key{&k})
		fmt.Fprintf(&out, verb, struct{ K vault.Key }{k})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "keys", []vault.Key{k})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "keys", []vault.Key{k})
	if err := json.NewEncoder(&out).Encode(map[string]any{"k": k, "p": &k, "l": []vault.Key{k}}); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"abab", "ABAB", "171 171", "171,171",
		base64.StdEncoding.EncodeToString(k.Secret[:])[:8], "\xab\xab", `\xab`} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q shows in %s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "k1:[redacted]") {
		t.Error(out.String())
	}
}

func FuzzOpen(f *testing.F) {
	v := open(f, key("k1", 7), key("k2", 8))
	sealed, err := hex.DecodeString(known)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, location)
	f.Add([]byte{1, 2, 'k', '2'}, "")
	f.Fuzz(func(t *testing.T, b []byte, aad string) {
		got, err := v.Open(b, aad)
		if err == nil && (!bytes.Equal(b, sealed) || aad != location || string(got) != "whsec_secret") {
			t.Fatalf("%x opens as %x at %q", b, got, aad)
		}
		if err != nil && got != nil {
			t.Fatal("plaintext beside an error")
		}
		if _, err := vault.KeyID(b); err != nil && v.NeedsReseal(b) {
			t.Fatal("not a sealed value, yet to be sealed again")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	v := open(b, key("k1", 7))
	sealed, _ := v.Seal(make([]byte, 50), location)
	b.ReportAllocs()
	for range b.N {
		if _, err := v.Open(sealed, location); err != nil {
			b.Fatal(err)
		}
	}
}
