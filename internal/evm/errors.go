package evm

import (
	"errors"
	"net/url"
	"strings"

	"github.com/ethereum/go-ethereum/rpc"
)

// plain takes the URL out of a connection error: its path is often a key.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// unsupported reports whether a node says that it does not know a method or a block tag. It must not be true of a node
// that is merely unwell.
func unsupported(err error) bool {
	var e rpc.Error
	if !errors.As(err, &e) {
		return false
	}
	if e.ErrorCode() == -32601 {
		return true
	}
	text := strings.ToLower(e.Error())
	return e.ErrorCode() == -32602 || strings.Contains(text, "not supported") || strings.Contains(text, "unsupported") || strings.Contains(text, "invalid block")
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), part)
}
