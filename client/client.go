package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultRetries is how often a request is sent again at most, unless [Options] say otherwise.
const DefaultRetries = 3

// DefaultUserAgent is what requests say they come from, unless [Options] say otherwise.
const DefaultUserAgent = "ctrip-go/1"

const (
	// requestTimeout bounds one try of a request; a gateway answers within its API_TIMEOUT, 30 s by default.
	requestTimeout = 40 * time.Second
	// longestWait is how long a Retry-After is obeyed; what asks for more is given back to the caller.
	longestWait = 30 * time.Second
	// firstWait is the wait before the first retry without a Retry-After; it doubles up to longestBackoff.
	firstWait      = 200 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// Options say which gateway to call, and as whom. URL and Key are needed.
type Options struct {
	// URL is where the gateway is, such as https://pay.example, without /api/v1.
	URL string
	// Key is an API key, or an operator token.
	Key string
	// HTTPClient sends the requests; nil means one of its own. Redirects are not followed either way.
	HTTPClient *http.Client
	// UserAgent names the caller in the gateway's log.
	UserAgent string
	// Retries is how often a request is sent again at most: 0 means [DefaultRetries], below 0 never.
	Retries int
}

// Client calls one gateway with one key. It may be used by many goroutines at once.
type Client struct {
	url     string // without a slash at its end
	key     string
	agent   string
	retries int
	http    *http.Client
}

// New checks the options. It calls nobody.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, errors.New("client: URL is not an http or https URL without user, query and fragment")
	}
	if o.Key == "" || strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("client: Key is empty, or not printable ASCII")
	}
	c := &Client{url: strings.TrimRight(u.String(), "/"), key: o.Key, agent: o.UserAgent, retries: o.Retries}
	switch {
	case o.Retries == 0:
		c.retries = DefaultRetries
	case o.Retries < 0:
		c.retries = 0
	}
	if c.agent == "" {
		c.agent = DefaultUserAgent
	}
	var own http.Client
	if o.HTTPClient != nil {
		own = *o.HTTPClient
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.ResponseHeaderTimeout = requestTimeout // an export has no other bound
		own.Transport = t
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c, nil
}

// String names the gateway, and not the key.
func (c *Client) String() string { return fmt.Sprintf("client of %s", c.url) }

// GoString is String.
func (c *Client) GoString() string { return c.String() }
