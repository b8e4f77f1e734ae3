package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
)

// ErrRequest is returned for text that is not a saved request.
var ErrRequest = errors.New("not a saved request: want header lines, an empty line, then the body as it was received")

// ParseRequest reads a saved request: header lines, an empty line, and the body to the end, as in a raw HTTP message,
// with or without its first line and with either kind of line ends. The body's bytes are kept as they are, except that
// a chunked one is joined and that what stands behind Content-Length, such as the line end that an editor adds, is cut
// off.
func ParseRequest(saved []byte) (http.Header, []byte, error) {
	headers, body, ok := cutHeaders(saved)
	if !ok {
		return nil, nil, ErrRequest
	}
	h, err := ParseHeaders(headers)
	if err != nil {
		return nil, nil, err
	}
	if strings.EqualFold(h.Get("Transfer-Encoding"), "chunked") {
		if body, err = io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body))); err != nil {
			return nil, nil, fmt.Errorf("%w: the chunked body is cut short", ErrRequest)
		}
		return h, body, nil
	}
	if length := h.Get("Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		switch {
		case err != nil || n < 0:
			return nil, nil, fmt.Errorf("%w: Content-Length is not a number", ErrRequest)
		case n > len(body):
			return nil, nil, fmt.Errorf("%w: Content-Length says %d bytes and only %d are there", ErrRequest, n, len(body))
		case len(bytes.TrimRight(body[n:], "\r\n")) > 0:
			return nil, nil, fmt.Errorf("%w: Content-Length says %d bytes and %d are there", ErrRequest, n, len(body))
		}
		body = body[:n]
	}
	return h, body, nil
}

// ParseHeaders reads header lines, "Name: value", with or without the first line of an HTTP message before them.
func ParseHeaders(text []byte) (http.Header, error) {
	h := http.Header{}
	first := true
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		good := ok && name != "" && !strings.ContainsAny(name, " \t")
		if first && !good && strings.Contains(line, "HTTP/") {
			first = false
			continue
		}
		first = false
		if !good {
			return nil, fmt.Errorf("%w: a header line has no name and colon", ErrRequest) // the line may hold a credential
		}
		h.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	if len(h) == 0 {
		return nil, fmt.Errorf("%w: there are no headers", ErrRequest)
	}
	return h, nil
}

// cutHeaders cuts at the first empty line.
func cutHeaders(saved []byte) (headers, body []byte, ok bool) {
	for rest := saved; ; {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return nil, nil, false
		}
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return saved[:len(saved)-len(rest)], after, true
		}
		rest = after
	}
}
