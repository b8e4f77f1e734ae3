package devnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	maxRequestBody   = 5 << 20  // geth's own limit, bytes
	maxBatchItems    = 1000     // geth's own limit
	maxBatchResponse = 25 << 20 // bytes
	// syncSendTimeout bounds eth_sendRawTransactionSync, and with it how long a Reorg may wait for requests under way.
	syncSendTimeout = 5 * time.Second
)

// newNode assembles geth: the node shell, the eth service and the log filters, without peers, without a data
// directory and without a consensus client; blocks are sealed by seal.go. ethclient/simulated does the same, but it hides
// its port, takes every timestamp from the wall clock and forks only while the pool is empty.
func newNode(genesisTime time.Time, funded map[common.Address]*big.Int) (*node.Node, *eth.Ethereum, []rpc.API, error) {
	nodeConf := node.DefaultConfig
	nodeConf.DataDir = ""
	nodeConf.HTTPHost = ""
	nodeConf.P2P = p2p.Config{NoDiscovery: true}
	stack, err := node.New(&nodeConf)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("new node: %w", err)
	}

	alloc := core.SystemContractAllocs()
	for address, wei := range funded {
		alloc[address] = types.Account{Balance: wei}
	}

	chainConfig := *params.AllDevChainProtocolChanges
	chainConfig.ChainID = big.NewInt(ChainID)
	conf := ethconfig.Defaults
	conf.Genesis = &core.Genesis{
		Config:    &chainConfig,
		Timestamp: uint64(genesisTime.Unix()),
		GasLimit:  conf.Miner.GasCeil,
		Alloc:     alloc,
	}
	conf.SyncMode = ethconfig.FullSync
	conf.LogNoHistory = true // no log index: searches read the blocks, which a young chain can afford
	conf.DatabaseCache, conf.TrieCleanCache, conf.TrieDirtyCache, conf.SnapshotCache = 16, 16, 16, 16
	conf.Miner.GasPrice = big.NewInt(1) // any tip is mined: a script must not hang over its price
	conf.TxPool.NoLocals = true
	conf.TxPool.AccountSlots, conf.TxPool.AccountQueue = 1024, 1024
	conf.TxSyncDefaultTimeout, conf.TxSyncMaxTimeout = syncSendTimeout, syncSendTimeout

	service, err := eth.New(stack, &conf)
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("new eth service: %w", err), stack.Close())
	}
	apis := append(service.APIs(),
		rpc.API{Namespace: "eth", Service: filters.NewFilterAPI(filters.NewFilterSystem(service.APIBackend,
			filters.Config{LogCacheSize: conf.FilterLogCacheSize, LogQueryLimit: conf.LogQueryLimit}))},
		rpc.API{Namespace: "web3", Service: web3API{}},
	)
	if err := stack.Start(); err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("start node: %w", err), stack.Close())
	}
	service.SetSynced() // there is nobody to sync with
	return stack, service, apis, nil
}

// web3API is the web3 namespace; geth's own is private to its node package.
type web3API struct{}

// ClientVersion answers web3_clientVersion.
func (web3API) ClientVersion() string { return "ctrip-devnet/go-ethereum" }

// Sha3 answers web3_sha3 with the Keccak-256 hash of its input.
func (web3API) Sha3(input hexutil.Bytes) hexutil.Bytes { return crypto.Keccak256(input) }

// rpcServer is JSON-RPC over HTTP for the eth, net and web3 namespaces, without CORS headers, so that no web page can
// read it. While gate is held for writing no request is being served.
type rpcServer struct {
	rpc      *rpc.Server
	http     *http.Server
	listener net.Listener
	gate     *sync.RWMutex
	done     chan struct{}
}

func startRPC(listener net.Listener, apis []rpc.API, gate *sync.RWMutex, logger *slog.Logger) (*rpcServer, error) {
	server := rpc.NewServer()
	server.SetBatchLimits(maxBatchItems, maxBatchResponse)
	server.SetHTTPBodyLimit(maxRequestBody)
	for _, api := range apis {
		switch api.Namespace {
		case "eth", "net", "web3":
			if err := server.RegisterName(api.Namespace, api.Service); err != nil {
				server.Stop()
				return nil, fmt.Errorf("register %s: %w", api.Namespace, err)
			}
		}
	}
	s := &rpcServer{rpc: server, listener: listener, gate: gate, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("devnet.rpc_stopped", "error", err)
		}
	}()
	return s, nil
}

// serve reads the whole request before it enters the gate, so that a slow sender holds up nobody.
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
	s.gate.RLock()
	defer s.gate.RUnlock()
	s.rpc.ServeHTTP(w, r)
}

// close ends the listener and every connection, and returns when no request is being served any more.
func (s *rpcServer) close() error {
	err := s.http.Close()
	<-s.done
	s.rpc.Stop()
	s.gate.Lock()
	defer s.gate.Unlock()
	return err
}
