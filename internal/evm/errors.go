package evm

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/ethereum/go-ethereum/rpc"
)

// Errors of an answer that cannot be believed.
var (
	// ErrMissing: the node does not have what was asked for; often it lags.
	ErrMissing = errors.New("the node does not have the block")
	// ErrInconsistent: the answer contradicts itself or what was asked.
	ErrInconsistent = errors.New("the answer contradicts itself")
	// ErrWrongChain: the provider serves another chain.
	ErrWrongChain = errors.New("the provider serves another chain")
	// ErrUnwitnessed: nothing but the answer itself says that a block holds no transfer; it is read again.
	ErrUnwitnessed = errors.New("nothing confirms yet that the block holds no transfer")
	// ErrDisagree: no second provider confirms a block.
	ErrDisagree = errors.New("the providers do not agree on the block")
)

// maxErrorText bounds what a provider can make us log.
const maxErrorText = 300

// providerError is an error of a provider, in words that do not give away its URL.
type providerError struct {
	text string
	err  error
}

func (e *providerError) Error() string { return e.text }
func (e *providerError) Unwrap() error { return e.err }

// plain words an error for people: without the URL, whose path is often a key, and without the body of an HTTP answer,
// which may repeat it.
func (pr *provider) plain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var u *url.Error
	var status rpc.HTTPError
	var throttled *throttledError
	switch {
	case errors.As(err, &throttled):
		text = throttled.words()
		if throttled.err != nil {
			text += ": " + pr.plain(throttled.err).Error()
		}
	case errors.As(err, &status):
		text = "HTTP " + status.Status
	case errors.As(err, &u):
		text = u.Err.Error()
	}
	for _, secret := range pr.secrets {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return &providerError{text, err}
}

// secretsOf are the parts of a URL that may be keys: user and password, long path segments, values of the query.
func secretsOf(u *url.URL) (secrets []string) {
	add := func(s string) {
		if s != "" {
			secrets = append(secrets, s)
		}
	}
	if u.User != nil {
		add(u.User.Username())
		password, _ := u.User.Password()
		add(password)
	}
	for _, path := range []string{u.Path, u.EscapedPath()} {
		for segment := range strings.SplitSeq(path, "/") {
			if len(segment) >= 8 {
				add(segment)
			}
		}
	}
	for _, values := range u.Query() {
		for _, v := range values {
			add(v)
		}
	}
	return secrets
}

// unsupported reports whether a node says that it does not know a method or a block tag. It must not be true of a node
// that is merely unwell.
func unsupported(err error) bool {
	code, text := 0, ""
	var e rpc.Error
	var status rpc.HTTPError
	switch {
	case errors.As(err, &e):
		code, text = e.ErrorCode(), e.Error()
	case errors.As(err, &status) &&
		(status.StatusCode == http.StatusBadRequest || status.StatusCode == http.StatusNotFound):
		// Some providers put the JSON-RPC error into an HTTP error.
		var answer struct{ Error struct{ Code int } }
		if json.Unmarshal(status.Body, &answer) == nil {
			code = answer.Error.Code
		}
	}
	text = strings.ToLower(text)
	says := func(words string) bool { return strings.Contains(text, words) }
	return code == -32601 || code == -32602 ||
		code != 0 && (says("not supported") || says("unsupported") || says("invalid block"))
}

// unknownMethod reports whether a node says that it does not know a method, also in the words of nodes that have one
// code for every failure.
func unknownMethod(err error) bool {
	var e rpc.Error
	if !errors.As(err, &e) {
		return unsupported(err)
	}
	text := strings.ToLower(e.Error())
	for _, words := range []string{"does not exist", "not available", "not implemented", "not found", "unknown method"} {
		if strings.Contains(text, "method") && strings.Contains(text, words) {
			return true
		}
	}
	return e.ErrorCode() == -32004 || unsupported(err)
}

// notYet recognises geth's answer for a tag that no block has yet: error -39001, "finalized block not found".
func notYet(err error) bool {
	var e rpc.Error
	return errors.As(err, &e) && (e.ErrorCode() == -39001 ||
		e.ErrorCode() == -32000 && strings.Contains(strings.ToLower(e.Error()), "block not found"))
}
