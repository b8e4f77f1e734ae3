package devnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
)

// ChainID is the chain id of every development chain.
const ChainID = 1337

// DefaultBlockTime is the shortest block time at which the chain's clock stays with the wall clock.
const DefaultBlockTime = time.Second

// What each of the three accounts owns at the start: a million ether, a billion tokens.
var (
	fundedWei   = new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil)
	fundedUnits = new(big.Int).Exp(big.NewInt(10), big.NewInt(27), nil)
)

// ChainOptions says where a chain listens and how it mines. The zero value is a chain on a free loopback port.
type ChainOptions struct {
	// Addr is host:port for JSON-RPC; empty means 127.0.0.1:0, port 0 a free port.
	Addr string
	// BlockTime is the time between blocks while Run runs, from 10 ms to DefaultBlockTime; zero means
	// DefaultBlockTime. Below a second the chain's clock runs ahead of the wall clock, see the package comment.
	BlockTime time.Duration
	// Payer, DemoPayer and Deployer are the funded accounts; a zero key means a fresh one.
	Payer, DemoPayer, Deployer Key
	// Logger gets a debug line for each block and an info line for each reorganisation; nil discards them.
	Logger *slog.Logger
	// Now is the wall clock for block timestamps; nil means time.Now.
	Now func() time.Time
}

// Head is one block, by what identifies it.
type Head struct {
	Number       uint64
	Hash         string    // 0x and 64 lower-case digits
	Time         time.Time // the block's timestamp, UTC, whole seconds
	Transactions int
}

// Chain is a running development chain. Its methods may be called from any goroutine.
type Chain struct {
	payer, demoPayer, deployer Key

	blockTime  time.Duration
	logger     *slog.Logger
	now        func() time.Time
	blockchain *core.BlockChain
	pool       *pool
	rpc        *rpcServer
	tokenCode  demoToken
	token      common.Address

	mining sync.Mutex // one block, or one branch, at a time; taken before mu
	// mu is held for writing while the head moves, for reading by whatever wants one head throughout: a request with all
	// its calls, a transaction on its way into the pool.
	mu      sync.RWMutex
	changed chan struct{} // closed and replaced when the head moves; mu guards it
	sending sync.Mutex    // from choosing a nonce to the transaction's arrival in the pool

	withdrawals withdrawals // that the next block pays out

	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// StartChain starts a chain: funds the accounts, deploys the demo token in block 1 and answers JSON-RPC when it
// returns. Nothing is mined after that until Run or Mine is called. The caller must call Close.
func StartChain(o ChainOptions) (*Chain, error) {
	if o.BlockTime == 0 {
		o.BlockTime = DefaultBlockTime
	}
	if o.BlockTime < 10*time.Millisecond || o.BlockTime > DefaultBlockTime {
		return nil, fmt.Errorf("block time %s: want 10ms to %s", o.BlockTime, DefaultBlockTime)
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Chain{
		blockTime: o.BlockTime, logger: o.Logger, now: o.Now, changed: make(chan struct{}), closed: make(chan struct{}),
	}
	var err error
	for _, k := range []struct{ to, from *Key }{
		{&c.payer, &o.Payer}, {&c.demoPayer, &o.DemoPayer}, {&c.deployer, &o.Deployer},
	} {
		if *k.to, err = k.from.orNew(); err != nil {
			return nil, err
		}
	}
	if c.tokenCode, err = loadDemoToken(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("chain RPC: %w", err)
	}
	if err := c.start(listener); err != nil {
		return nil, errors.Join(err, listener.Close(), c.Close())
	}
	return c, nil
}

// start brings up what StartChain promised; Close undoes however much of it was done.
func (c *Chain) start(listener net.Listener) error {
	// Genesis lies in the past, so that block 1 does not have to wait for the next second.
	blockchain, err := newBlockChain(c.now().Add(-10*time.Second), map[common.Address]*big.Int{
		c.payer.address: fundedWei, c.demoPayer.address: fundedWei, c.deployer.address: fundedWei,
	})
	if err != nil {
		return err
	}
	c.blockchain, c.pool = blockchain, newPool(blockchain.Config())

	creation, err := c.tokenCode.creation(fundedUnits, c.payer.address, c.demoPayer.address, c.deployer.address)
	if err != nil {
		return err
	}
	ctx := context.Background()
	hash, err := c.send(ctx, c.deployer, &types.DynamicFeeTx{Gas: 2_000_000, Data: creation})
	if err != nil {
		return fmt.Errorf("deploy demo token: %w", err)
	}
	if _, err := c.Mine(); err != nil {
		return fmt.Errorf("deploy demo token: %w", err)
	}
	mined, err := c.receipt(hash)
	if err != nil {
		return fmt.Errorf("deploy demo token: %w", err)
	}
	if mined == nil || mined.Reverted {
		return errors.New("deploy demo token: the transaction was not mined")
	}
	c.token = mined.contract

	c.rpc, err = startRPC(listener, c)
	return err
}

// URL is where JSON-RPC answers, such as http://127.0.0.1:8545, with the port that was really bound.
func (c *Chain) URL() string { return "http://" + c.rpc.listener.Addr().String() }

// Token is the demo token's contract address in EIP-55 spelling. Its symbol is TokenSymbol, its decimals TokenDecimals.
func (c *Chain) Token() string { return c.token.Hex() }

// Payer is a funded account that nothing in this package spends from by itself: it is for the user. JSON-RPC signs for
// it (eth_sendTransaction), and for nobody else.
func (c *Chain) Payer() Key { return c.payer }

// DemoPayer is a funded account for the program's own story.
func (c *Chain) DemoPayer() Key { return c.demoPayer }

// Deployer is the account that deployed the token; it is funded too, and a third payer for tests.
func (c *Chain) Deployer() Key { return c.deployer }

// Head is the newest block of the canonical branch.
func (c *Chain) Head() Head {
	c.mu.RLock()
	defer c.mu.RUnlock()
	header := c.blockchain.CurrentBlock()
	return headOf(c.blockchain.GetBlock(header.Hash(), header.Number.Uint64()))
}

// Block is the canonical block with that number; ok is false where there is none yet.
func (c *Chain) Block(number uint64) (head Head, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	block := c.blockchain.GetBlockByNumber(number)
	if block == nil {
		return Head{}, false
	}
	return headOf(block), true
}

func headOf(b *types.Block) Head {
	return Head{
		Number:       b.NumberU64(),
		Hash:         b.Hash().Hex(),
		Time:         time.Unix(int64(b.Time()), 0).UTC(),
		Transactions: len(b.Transactions()),
	}
}

// Close stops the RPC server and the chain. Run must have returned. It may be called more than once.
func (c *Chain) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		if c.rpc != nil {
			c.closeErr = c.rpc.close()
		}
		if c.blockchain != nil {
			c.blockchain.Stop()
		}
	})
	return c.closeErr
}
