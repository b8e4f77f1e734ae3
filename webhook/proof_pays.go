package webhook

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
)

// Topics and emitters of the logs that move money.
const (
	// transferEvent is keccak256("Transfer(address,address,uint256)").
	transferEvent = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
	// polygonEvent is that of "LogTransfer(address,address,address,uint256,uint256,uint256,uint256,uint256)".
	polygonEvent = "0xe6497e3ee548a3372136af2fcb0696db31fc6cf20260707645068bd3fe97f3c4"

	systemEmitter  = "0xfffffffffffffffffffffffffffffffffffffffe" // EIP-7708
	polygonEmitter = "0x0000000000000000000000000000000000001010"
	zksyncEmitter  = "0x000000000000000000000000000000000000800a"
)

// coinLog says how a chain writes logs about its own coin: where from, of which topic, in which topic the recipient
// stands, and how many words of data there are.
func coinLog(chainID uint64) (emitter, topic string, to, words int) {
	switch chainID {
	case 137, 80001, 80002:
		return polygonEmitter, polygonEvent, 3, 5
	case 280, 300, 324:
		return zksyncEmitter, transferEvent, 2, 1
	}
	return systemEmitter, transferEvent, 2, 1
}

// provenLog is a log in a receipt.
type provenLog struct {
	address []byte
	topics  []item
	data    []byte
}

// receiptLogs reads a receipt: its transaction must have succeeded.
func receiptLogs(receipt []byte) ([]provenLog, error) {
	_, receipt = typed(receipt)
	fields, err := items(receipt)
	if err != nil || len(fields) < 4 || !fields[3].list {
		return nil, errors.New("the receipt is none")
	}
	if fields[0].list || !bytes.Equal(fields[0].content, []byte{1}) {
		return nil, errors.New("the receipt does not say that the transaction succeeded")
	}
	list, err := items(fields[3].whole)
	if err != nil {
		return nil, err
	}
	logs := make([]provenLog, len(list))
	for i, l := range list {
		parts, err := items(l.whole)
		if err != nil || len(parts) != 3 || parts[0].list || !parts[1].list || parts[2].list {
			return nil, errors.New("a log of the receipt is none")
		}
		logs[i] = provenLog{address: parts[0].content, data: parts[2].content}
		if logs[i].topics, err = items(parts[1].whole); err != nil {
			return nil, err
		}
	}
	return logs, nil
}

// typed is the type of a transaction or a receipt, 0 for the ones before there were types, and what follows it.
func typed(b []byte) (kind byte, rest []byte) {
	if len(b) > 0 && b[0] < 0x80 {
		return b[0], b[1:]
	}
	return 0, b
}

// pays checks that a log moves an amount of the payment's asset to an address.
func (l provenLog) pays(payment Payment, address []byte, amount *big.Int) error {
	emitter, topic, to, words := "", transferEvent, 2, 1
	if payment.Asset.Contract != nil {
		emitter = *payment.Asset.Contract
	} else {
		emitter, topic, to, words = coinLog(payment.ChainID)
	}
	from, err := unhex(strings.ToLower(emitter), 20)
	if err != nil {
		return err
	}
	event, err := unhex(topic, 32)
	if err != nil {
		return err
	}
	if !bytes.Equal(l.address, from) || len(l.topics) != to+1 || !bytes.Equal(l.topics[0].content, event) ||
		len(l.data) != 32*words {
		return errors.New("the log is no transfer of the payment's asset")
	}
	if recipient := l.topics[to].content; len(recipient) != 32 || !bytes.Equal(recipient[12:], address) {
		return errors.New("the log pays somebody else")
	}
	if new(big.Int).SetBytes(l.data[:32]).Cmp(amount) != 0 {
		return errors.New("the log moves another amount")
	}
	return nil
}

// coinFields say where a transaction of a type says whom it pays, and how much.
var coinFields = map[byte]struct{ to, value, fields int }{
	0x00: {3, 4, 9},
	0x01: {4, 5, 11},
	0x02: {5, 6, 12},
	0x03: {5, 6, 14},
	0x04: {5, 6, 13},
	0x7b: {5, 6, 13},
	0x7e: {2, 4, 8},
}

// paysCoin checks that a transaction carries an amount of the chain's own coin to an address.
func paysCoin(transaction, address []byte, amount *big.Int) error {
	kind, rest := typed(transaction)
	at, known := coinFields[kind]
	fields, err := items(rest)
	if err != nil || !known || len(fields) != at.fields {
		return errors.New("the transaction is of a type that is not known")
	}
	if to := fields[at.to]; to.list || !bytes.Equal(to.content, address) {
		return errors.New("the transaction pays somebody else")
	}
	if value := fields[at.value]; value.list || new(big.Int).SetBytes(value.content).Cmp(amount) != 0 {
		return errors.New("the transaction carries another amount")
	}
	return nil
}
