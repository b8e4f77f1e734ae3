package devnet

import (
	"crypto/rand"
	"fmt"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
)

// NewXPub makes the account key m/44'/60'/0' of a seed that nobody keeps and returns its public half, which is all a
// merchant gives to the gateway. What is paid to its addresses is lost for good; it is toy money.
func NewXPub() (string, error) {
	seed := make([]byte, hdkeychain.RecommendedSeedLen)
	rand.Read(seed)
	key, err := hdkeychain.NewMaster(seed, &chaincfg.MainNetParams)
	if err != nil {
		return "", fmt.Errorf("new xpub: %w", err)
	}
	for _, i := range []uint32{44, 60, 0} {
		if key, err = key.Derive(hdkeychain.HardenedKeyStart + i); err != nil {
			return "", fmt.Errorf("new xpub: %w", err)
		}
	}
	public, err := key.Neuter()
	if err != nil {
		return "", fmt.Errorf("new xpub: %w", err)
	}
	return public.String(), nil
}
