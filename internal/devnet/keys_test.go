package devnet_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

func TestKeyKeepsItsSecret(t *testing.T) {
	key, err := devnet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimPrefix(key.Hex(), "0x")
	if len(secret) != 64 {
		t.Fatalf("secret of %d digits", len(secret))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key)
	object, err := json.Marshal(map[string]any{"key": key})
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range map[string]string{
		"%v": fmt.Sprintf("%v", key), "%+v": fmt.Sprintf("%+v", key), "%#v": fmt.Sprintf("%#v", key), "String": key.String(),
		"nested": fmt.Sprintf("%+v", struct{ K devnet.Key }{key}), "log": log.String(), "json": string(object),
	} {
		if strings.Contains(text, secret) || !strings.Contains(text, key.Address()) {
			t.Errorf("%s prints %s", how, text)
		}
	}
	other, err := devnet.NewKey()
	if err != nil || other == key {
		t.Errorf("a second key is %v, %v", other, err)
	}
}

func TestParseKey(t *testing.T) {
	// The first account of the mnemonic that every development node uses.
	const hex = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
	const address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
	for _, s := range []string{hex, "0x" + hex, strings.ToUpper(hex)} {
		key, err := devnet.ParseKey(s)
		if err != nil || key.Address() != address || key.Hex() != "0x"+hex || key.IsZero() {
			t.Errorf("ParseKey = %v, %v", key, err)
		}
	}
	for name, s := range map[string]string{
		"empty": "", "short": hex[:62], "long": hex + "00", "not hex": strings.Repeat("g", 64),
		"zero": strings.Repeat("0", 64), "above the order": strings.Repeat("f", 64),
	} {
		if key, err := devnet.ParseKey(s); err == nil || (s != "" && strings.Contains(err.Error(), s)) {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
	if zero := (devnet.Key{}); !zero.IsZero() || zero.Hex() != "" {
		t.Errorf("zero key is %q", zero.Hex())
	}
}
