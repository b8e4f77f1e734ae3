package evm

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
)

// Transaction and receipt types whose encoding differs from Ethereum's.
const (
	typeCelo     = 0x7b // pays its fee in a token
	typeArbitrum = 0x6a // the first transaction of an Arbitrum block
	typeDeposit  = 0x7e // a deposit of the OP stack
)

// errNoEncoding: nothing that we know encodes this to the hash that is given for it.
var errNoEncoding = errors.New("its encoding is not known")

// fullHeader is everything in a header that its hash may cover. What a chain does not have is nil.
type fullHeader struct {
	Parent       *common.Hash    `json:"parentHash"`
	Uncles       *common.Hash    `json:"sha3Uncles"`
	Miner        *common.Address `json:"miner"`
	State        *common.Hash    `json:"stateRoot"`
	Transactions *common.Hash    `json:"transactionsRoot"`
	Receipts     *common.Hash    `json:"receiptsRoot"`
	Bloom        bloom           `json:"logsBloom"`
	Difficulty   *bigQuantity    `json:"difficulty"`
	Number       *quantity       `json:"number"`
	GasLimit     *quantity       `json:"gasLimit"`
	GasUsed      *quantity       `json:"gasUsed"`
	Time         *quantity       `json:"timestamp"`
	Extra        *hexutil.Bytes  `json:"extraData"`
	Mix          *common.Hash    `json:"mixHash"`
	Nonce        *hexutil.Bytes  `json:"nonce"`
	AuraStep     *bigQuantity    `json:"auraStep"`
	AuraSeal     *auraSeal       `json:"auraSeal"`
	BaseFee      *bigQuantity    `json:"baseFeePerGas"`
	Withdrawals  *common.Hash    `json:"withdrawalsRoot"`
	BlobGasUsed  *quantity       `json:"blobGasUsed"`
	ExcessBlob   *quantity       `json:"excessBlobGas"`
	BeaconRoot   *common.Hash    `json:"parentBeaconBlockRoot"`
	Requests     *common.Hash    `json:"requestsHash"`
	AccessLists  *common.Hash    `json:"blockAccessListHash"`
	Slot         *quantity       `json:"slotNumber"`
	Hash         *common.Hash    `json:"hash"`
}

// auraSeal is bytes, with or without 0x.
type auraSeal []byte

func (s *auraSeal) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	*s = common.FromHex(text)
	return nil
}

// encode returns the bytes whose hash is the hash of the block: Ethereum's list of fields, that of Gnosis under AuRa
// (the seal in place of mixHash and nonce), or that of Celo as a chain of its own (ten fields, without the votes in the
// seal).
func (h *fullHeader) encode() ([]byte, error) {
	if h.Hash == nil || h.Parent == nil || h.Miner == nil || h.State == nil || h.Transactions == nil ||
		h.Receipts == nil || h.Bloom.Bloom == nil || h.Number == nil || h.GasUsed == nil || h.Time == nil || h.Extra == nil {
		return nil, fmt.Errorf("%w: the header lacks fields", errNoEncoding)
	}
	for _, fields := range h.candidates() {
		raw, err := rlp.EncodeToBytes(fields)
		if err == nil && crypto.Keccak256Hash(raw) == *h.Hash {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("%w: the header does not hash to %s", errNoEncoding, h.Hash.Hex())
}

func (h *fullHeader) candidates() (lists [][]any) {
	if h.Uncles == nil && h.Mix == nil {
		if extra, ok := celoExtra(*h.Extra); ok {
			lists = append(lists, []any{
				h.Parent, h.Miner, h.State, h.Transactions, h.Receipts, h.Bloom.Bloom, uint64(*h.Number),
				uint64(*h.GasUsed), uint64(*h.Time), extra,
			})
		}
	}
	if h.Uncles == nil || h.Difficulty == nil || h.GasLimit == nil {
		return lists
	}
	common := []any{
		h.Parent, h.Uncles, h.Miner, h.State, h.Transactions, h.Receipts, h.Bloom.Bloom, h.Difficulty.big(),
		uint64(*h.Number), uint64(*h.GasLimit), uint64(*h.GasUsed), uint64(*h.Time), []byte(*h.Extra),
	}
	later := h.later()
	if h.Mix != nil && h.Nonce != nil {
		list := append(common[:len(common):len(common)], h.Mix, []byte(*h.Nonce))
		lists = append(lists, append(list, later...))
	}
	if h.AuraStep != nil && h.AuraSeal != nil {
		list := append(common[:len(common):len(common)], h.AuraStep.big(), []byte(*h.AuraSeal))
		lists = append(lists, append(list, later...))
	}
	return lists
}

// later are the fields that upgrades of Ethereum have added: up to the last one that is there.
func (h *fullHeader) later() []any {
	fields := make([]any, 0, 8)
	last := 0
	add := func(there bool, v any) {
		if !there {
			v = []byte{}
		}
		if fields = append(fields, v); there {
			last = len(fields)
		}
	}
	number := func(q *quantity) (bool, any) {
		if q == nil {
			return false, nil
		}
		return true, uint64(*q)
	}
	add(h.BaseFee != nil, h.BaseFee.big())
	add(h.Withdrawals != nil, h.Withdrawals)
	add(number(h.BlobGasUsed))
	add(number(h.ExcessBlob))
	add(h.BeaconRoot != nil, h.BeaconRoot)
	add(h.Requests != nil, h.Requests)
	add(h.AccessLists != nil, h.AccessLists)
	add(number(h.Slot))
	return fields[:last]
}

// celoExtra is the extraData of a Celo header as its hash covers it: without the votes of the validators for the block.
func celoExtra(extra []byte) ([]byte, bool) {
	const vanity = 32
	if len(extra) <= vanity {
		return nil, false
	}
	var votes []rlp.RawValue
	if rlp.DecodeBytes(extra[vanity:], &votes) != nil || len(votes) != 6 {
		return nil, false
	}
	votes[4] = rlp.RawValue{0xc3, 0x80, 0x80, 0x80}
	rest, err := rlp.EncodeToBytes(votes)
	return append(append([]byte(nil), extra[:vanity]...), rest...), err == nil
}

// fullTx is everything in a transaction that its hash may cover.
type fullTx struct {
	Hash       *common.Hash    `json:"hash"`
	Type       quantity        `json:"type"`
	From       optionalAddress `json:"from"`
	To         optionalAddress `json:"to"`
	ChainID    *bigQuantity    `json:"chainId"`
	Nonce      quantity        `json:"nonce"`
	GasPrice   *bigQuantity    `json:"gasPrice"`
	MaxFee     *bigQuantity    `json:"maxFeePerGas"`
	MaxTip     *bigQuantity    `json:"maxPriorityFeePerGas"`
	MaxBlobFee *bigQuantity    `json:"maxFeePerBlobGas"`
	Gas        quantity        `json:"gas"`
	Value      *bigQuantity    `json:"value"`
	Input      *hexutil.Bytes  `json:"input"`
	Data       *hexutil.Bytes  `json:"data"` // what some nodes call input
	AccessList []accessTuple   `json:"accessList"`
	BlobHashes []common.Hash   `json:"blobVersionedHashes"`
	Authorized []authorization `json:"authorizationList"`
	Fee        *common.Address `json:"feeCurrency"`
	SourceHash *common.Hash    `json:"sourceHash"`
	Mint       *bigQuantity    `json:"mint"`
	System     loose[bool]     `json:"isSystemTx"`
	V          *bigQuantity    `json:"v"`
	R          *bigQuantity    `json:"r"`
	S          *bigQuantity    `json:"s"`
	YParity    *bigQuantity    `json:"yParity"`
}

type accessTuple struct {
	Address common.Address `json:"address"`
	Keys    []common.Hash  `json:"storageKeys"`
}

type authorization struct {
	ChainID *bigQuantity   `json:"chainId"`
	Address common.Address `json:"address"`
	Nonce   quantity       `json:"nonce"`
	YParity *bigQuantity   `json:"yParity"`
	R       *bigQuantity   `json:"r"`
	S       *bigQuantity   `json:"s"`
}

// pseudo reports whether an entry of a block is no transaction: Polygon lists the coin and tokens that come from
// Ethereum as one from and to the zero address, without a signature, which no root covers.
func (t *fullTx) pseudo() bool {
	zero := func(a optionalAddress) bool { return a.Address != nil && *a.Address == common.Address{} }
	none := func(q *bigQuantity) bool { return q == nil || q.big().Sign() == 0 }
	return t.Type == 0 && zero(t.From) && zero(t.To) && none(t.V) && none(t.R) && none(t.S)
}

// encode returns the bytes whose hash is the hash of the transaction.
func (t *fullTx) encode() ([]byte, error) {
	fields, ok := t.fields()
	if t.Hash == nil || !ok {
		return nil, fmt.Errorf("%w: a transaction of type 0x%x", errNoEncoding, uint64(t.Type))
	}
	raw, err := rlp.EncodeToBytes(fields)
	if err != nil {
		return nil, err
	}
	if t.Type != 0 {
		raw = append([]byte{byte(t.Type)}, raw...)
	}
	if crypto.Keccak256Hash(raw) != *t.Hash {
		return nil, fmt.Errorf("%w: what is given of transaction %s does not hash to it", errNoEncoding, t.Hash.Hex())
	}
	return raw, nil
}

func (t *fullTx) fields() ([]any, bool) {
	to, input, parity := address(t.To.Address), t.input(), t.V
	if parity == nil {
		parity = t.YParity
	}
	sign := []any{parity.big(), t.R.big(), t.S.big()}
	nonce, gas, access := uint64(t.Nonce), uint64(t.Gas), t.AccessList
	switch t.Type {
	case types.LegacyTxType:
		return append([]any{nonce, t.GasPrice.big(), gas, to, t.Value.big(), input}, sign...), true
	case types.AccessListTxType:
		return append([]any{t.ChainID.big(), nonce, t.GasPrice.big(), gas, to, t.Value.big(), input, access}, sign...), true
	case typeArbitrum:
		return []any{t.ChainID.big(), input}, true
	case typeDeposit:
		system := t.System.v != nil && *t.System.v
		return []any{t.SourceHash, address(t.From.Address), to, t.Mint.big(), t.Value.big(), gas, system, input},
			t.SourceHash != nil
	}
	list := []any{t.ChainID.big(), nonce, t.MaxTip.big(), t.MaxFee.big(), gas, to, t.Value.big(), input, access}
	switch t.Type {
	case types.DynamicFeeTxType:
	case types.BlobTxType:
		list = append(list, t.MaxBlobFee.big(), t.BlobHashes)
	case types.SetCodeTxType:
		list = append(list, authorizations(t.Authorized))
	case typeCelo:
		list = append(list, address(t.Fee))
	default:
		return nil, false
	}
	return append(list, sign...), true
}

func (t *fullTx) input() []byte {
	if t.Input != nil {
		return *t.Input
	}
	if t.Data != nil {
		return *t.Data
	}
	return nil
}

func authorizations(list []authorization) []any {
	out := make([]any, len(list))
	for i, a := range list {
		out[i] = []any{a.ChainID.big(), a.Address, uint64(a.Nonce), a.YParity.big(), a.R.big(), a.S.big()}
	}
	return out
}

// address is the bytes of an address, none where there is none.
func address(a *common.Address) []byte {
	if a == nil {
		return []byte{}
	}
	return a[:]
}
