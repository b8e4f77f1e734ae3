package wallet

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"golang.org/x/crypto/sha3"
)

// Why [Parse] refuses a text. None of them repeats it.
var (
	// ErrPrivateKey: an extended or raw private key. Whoever sent it should treat it as exposed.
	ErrPrivateKey = errors.New("this is a private key; give the account's public key (xpub) and treat the private key " +
		"as exposed")
	// ErrMnemonic: a mnemonic phrase, or anything that reads like one.
	ErrMnemonic = errors.New("this is a mnemonic phrase; give the account's public key (xpub) and treat the phrase as " +
		"exposed")
	// ErrDepth: an xpub, but not that of an account.
	ErrDepth = errors.New("this xpub is not an account key: export the one at m/44'/60'/account' (depth 3)")
	// ErrIsAddress: an address, of which every payment would be the same one.
	ErrIsAddress = errors.New("this is an address; give the public key of the account that it belongs to, an xpub, from which " +
		"each payment gets an address of its own (docs/wallet.md says where a wallet shows it)")
	// ErrPublicKey: a public key without the chain code that derives others from it.
	ErrPublicKey = errors.New("this is a bare public key; give the account's extended public key, which begins with xpub")
	// ErrOtherNetwork: an extended public key in the spelling of something else than BIP-44.
	ErrOtherNetwork = errors.New("this is an extended public key for other kinds of addresses (ypub, zpub, tpub and so on); " +
		"export the one that begins with xpub, of an Ethereum account")
	// ErrFormat: not an xpub at all, or one with a typing error.
	ErrFormat = errors.New("this is not a valid xpub")
)

// ErrIndex is returned for a branch or index that BIP-32 cannot derive from a public key: 2^31 or more, or, with a
// chance of about 1 in 2^127, one without a key. Such an index is skipped.
var ErrIndex = errors.New("no address at this index")

const (
	accountDepth = 3
	hardened     = hdkeychain.HardenedKeyStart
	xpubVersion  = 0x0488B21E

	// shortestMnemonic is the number of words in the shortest BIP-39 phrase.
	shortestMnemonic = 12
)

var (
	extendedPrivate = regexp.MustCompile(`[xtyzuvYZUV]prv[1-9A-HJ-NP-Za-km-z]`)
	otherPublic     = regexp.MustCompile(`^[tyzuvYZUV]pub[1-9A-HJ-NP-Za-km-z]{50,}$`)
	rawPublic       = regexp.MustCompile(`^(0[xX])?(0[23][0-9A-Fa-f]{64}|04[0-9A-Fa-f]{128})$`)
	rawPrivate      = regexp.MustCompile(`^(0[xX])?[0-9A-Fa-f]{64}$`)
)

// Account is the public key of a BIP-44 account. It is safe for concurrent use and holds no secret, though whoever
// knows an xpub can see every payment made to it.
type Account struct {
	key   *hdkeychain.ExtendedKey
	keyID string

	mu       sync.Mutex
	branches map[uint32]*branchKey
}

// branchKey is the key of a branch, as its addresses are derived from it. Nobody changes one.
type branchKey struct {
	compressed []byte
	chainCode  []byte
	point      btcec.JacobianPoint
}

// Parse reads the xpub of an account, as wallets export it for m/44'/60'/account'. Space around it is ignored. It fails
// with the reasons above.
func Parse(xpub string) (*Account, error) {
	text := strings.TrimSpace(xpub)
	switch {
	case extendedPrivate.MatchString(text), rawPrivate.MatchString(text):
		return nil, ErrPrivateKey
	case words(text) >= shortestMnemonic:
		return nil, ErrMnemonic
	case isAddress(strings.ToLower(text)), isAddress("0x" + strings.ToLower(text)):
		return nil, ErrIsAddress
	case rawPublic.MatchString(text):
		return nil, ErrPublicKey
	case otherPublic.MatchString(text):
		return nil, ErrOtherNetwork
	case !strings.HasPrefix(text, "xpub"):
		return nil, ErrFormat
	}
	key, err := hdkeychain.NewKeyFromString(text)
	if err != nil {
		return nil, ErrFormat
	}
	if key.IsPrivate() {
		return nil, ErrPrivateKey
	}
	if v := key.Version(); uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8|uint32(v[3]) != xpubVersion {
		return nil, ErrFormat
	}
	if key.Depth() != accountDepth || key.ChildIndex() < hardened {
		return nil, ErrDepth
	}
	public, err := key.ECPubKey()
	if err != nil {
		return nil, ErrFormat
	}
	id := sha256.Sum256(append(public.SerializeCompressed(), key.ChainCode()...))
	return &Account{key: key, keyID: hex.EncodeToString(id[:]), branches: make(map[uint32]*branchKey)}, nil
}

// KeyID is the identity of the account key: the hex SHA-256 over its compressed public key (33 bytes) and chain code
// (32 bytes), the two things that decide which addresses it derives.
func (a *Account) KeyID() string { return a.keyID }

// Address is the address at branch/index below the account, in EIP-55 spelling. It fails with [ErrIndex].
func (a *Account) Address(branch, index uint32) (string, error) {
	lower, err := a.LowerAddress(branch, index)
	if err != nil {
		return "", err
	}
	return Checksum(lower), nil
}

// LowerAddress is [Account.Address] in lower case, the form that is stored and compared.
func (a *Account) LowerAddress(branch, index uint32) (string, error) {
	parent, err := a.branch(branch)
	if err != nil {
		return "", err
	}
	public, err := parent.child(index)
	if err != nil {
		return "", err
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(public[:])
	return "0x" + hex.EncodeToString(h.Sum(nil)[12:]), nil
}

// child is the public key at an index, its two coordinates: BIP-32's CKDpub, without the chain code, the fingerprint
// and the compressed form that only a key with children of its own needs.
func (k *branchKey) child(index uint32) (public [64]byte, err error) {
	if index >= hardened {
		return public, fmt.Errorf("%w: %d", ErrIndex, index)
	}
	mac := hmac.New(sha512.New, k.chainCode)
	mac.Write(k.compressed)
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	var tweak btcec.ModNScalar
	if overflow := tweak.SetByteSlice(mac.Sum(nil)[:32]); overflow || tweak.IsZero() {
		return public, fmt.Errorf("%w: %d", ErrIndex, index)
	}
	parent := k.point // a copy of our own
	var offset, sum btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&tweak, &offset)
	btcec.AddNonConst(&offset, &parent, &sum)
	if sum.Z.IsZero() {
		return public, fmt.Errorf("%w: %d", ErrIndex, index)
	}
	sum.ToAffine()
	sum.X.PutBytesUnchecked(public[:32])
	sum.Y.PutBytesUnchecked(public[32:])
	return public, nil
}

// Path is the BIP-44 path of the address at branch/index, "m/44'/60'/account'/branch/index". The account number is the
// one recorded in the xpub.
func (a *Account) Path(branch, index uint32) string {
	return fmt.Sprintf("m/44'/60'/%d'/%d/%d", a.key.ChildIndex()-hardened, branch, index)
}

// String names the account by the start of its key id.
func (a *Account) String() string { return "Account(" + a.keyID[:12] + ")" }

// words counts the parts of a text that are nothing but letters, whatever stands between them.
func words(text string) int {
	n := 0
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		if strings.IndexFunc(part, unicode.IsDigit) < 0 {
			n++
		}
	}
	return n
}

// branch keeps the keys of branches, which every address below them needs.
func (a *Account) branch(n uint32) (*branchKey, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if key, ok := a.branches[n]; ok {
		return key, nil
	}
	extended, err := a.key.Derive(n)
	if errors.Is(err, hdkeychain.ErrDeriveHardFromPublic) || errors.Is(err, hdkeychain.ErrInvalidChild) {
		return nil, fmt.Errorf("%w: %d", ErrIndex, n)
	}
	if err != nil {
		return nil, fmt.Errorf("derive branch %d: %w", n, err)
	}
	public, err := extended.ECPubKey()
	if err != nil {
		return nil, fmt.Errorf("derive branch %d: %w", n, err)
	}
	key := &branchKey{compressed: public.SerializeCompressed(), chainCode: extended.ChainCode()}
	public.AsJacobian(&key.point)
	if len(a.branches) < 16 { // a deployment uses one
		a.branches[n] = key
	}
	return key, nil
}
