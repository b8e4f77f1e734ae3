package devnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	maxRequestBody   = 5 << 20  // geth's own limit, bytes
	maxBatchItems    = 1000     // geth's own limit
	maxBatchResponse = 25 << 20 // bytes
)

// rpcServer is JSON-RPC over HTTP for the eth, net and web3 namespaces, without CORS headers, so that no web page can
// read it. A request holds the chain's lock for reading: it sees one head throughout, with all the calls of its batch.
type rpcServer struct {
	rpc      *rpc.Server
	http     *http.Server
	listener net.Listener
	mu       *sync.RWMutex
	done     chan struct{}
}

func startRPC(listener net.Listener, c *Chain) (*rpcServer, error) {
	server := rpc.NewServer()
	server.SetBatchLimits(maxBatchItems, maxBatchResponse)
	server.SetHTTPBodyLimit(maxRequestBody)
	for _, api := range []rpc.API{
		{Namespace: "eth", Service: blockAPI{c}},
		{Namespace: "eth", Service: stateAPI{c}},
		{Namespace: "eth", Service: logAPI{c}},
		{Namespace: "eth", Service: newFeeAPI(c)},
		{Namespace: "eth", Service: signer{c}},
		{Namespace: "net", Service: netAPI{}},
		{Namespace: "web3", Service: web3API{}},
	} {
		if err := server.RegisterName(api.Namespace, api.Service); err != nil {
			server.Stop()
			return nil, fmt.Errorf("register %s: %w", api.Namespace, err)
		}
	}
	s := &rpcServer{rpc: server, listener: listener, mu: &c.mu, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(c.logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.logger.Error("devnet.rpc_stopped", "error", err)
		}
	}()
	return s, nil
}

// serve reads the whole request before it takes the lock and writes the answer after it, so that a slow peer holds up
// nobody.
func (s *rpcServer) serve(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > maxRequestBody {
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBody))
	if err != nil {
		http.Error(w, "request body too large or cut off", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := bufferedAnswer{header: w.Header(), status: http.StatusOK}
	s.mu.RLock()
	s.rpc.ServeHTTP(&answer, r)
	s.mu.RUnlock()
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes()) // a peer that went away
}

// bufferedAnswer keeps an answer until the lock is free again.
type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *bufferedAnswer) Header() http.Header            { return a.header }
func (a *bufferedAnswer) WriteHeader(status int)         { a.status = status }
func (a *bufferedAnswer) Write(part []byte) (int, error) { return a.body.Write(part) }

// close ends the listener and every connection, and returns when no request is being served any more.
func (s *rpcServer) close() error {
	err := s.http.Close()
	<-s.done
	s.rpc.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return err
}

// netAPI is the net namespace, of a node without peers.
type netAPI struct{}

// Version answers net_version.
func (netAPI) Version() string { return strconv.Itoa(ChainID) }

// Listening answers net_listening.
func (netAPI) Listening() bool { return true }

// PeerCount answers net_peerCount.
func (netAPI) PeerCount() hexutil.Uint { return 0 }

// web3API is the web3 namespace.
type web3API struct{}

// ClientVersion answers web3_clientVersion.
func (web3API) ClientVersion() string { return "ctrip-devnet/go-ethereum" }

// Sha3 answers web3_sha3 with the Keccak-256 hash of its input.
func (web3API) Sha3(input hexutil.Bytes) hexutil.Bytes { return crypto.Keccak256(input) }

// invalidParams is an error with JSON-RPC's code for bad arguments.
type invalidParams string

func (e invalidParams) Error() string  { return string(e) }
func (e invalidParams) ErrorCode() int { return -32602 }
