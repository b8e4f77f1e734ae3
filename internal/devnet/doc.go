// Package devnet is the toy world: an Ethereum chain and a Redis that live inside one process, so that the
// gateway can be tried, shown and tested on a machine with nothing but Go.
//
// It promises the real thing where the gateway can tell the difference. [Chain] is go-ethereum's own blockchain on a
// memory database: the EVM, blocks, receipts, state and their roots are geth's, every block is carried out twice and
// compared, and a reorganisation is one that geth performs. [Redis] is miniredis with a clock, enough for Asynq and
// asynqmon.
//
// It does not keep anything: a process that ends takes the chain and the queue with it. It has no consensus, no
// peers, no TLS and no access control, and must listen on loopback only. Its coins and its token are worth nothing.
//
// It serves cmd/quickstart and tests. No production binary may import it.
//
// # JSON-RPC
//
// Over HTTP the chain answers what a gateway, a wallet and a script with curl ask: of eth, chainId, blockNumber,
// syncing, getBlockByNumber, getBlockByHash, getBlockReceipts, getTransactionByHash, getTransactionReceipt,
// getTransactionCount, getBalance, getCode, getStorageAt, getLogs, call, estimateGas, gasPrice, maxPriorityFeePerGas,
// feeHistory, accounts, sendTransaction (for the payer) and sendRawTransaction; net_version and its siblings,
// web3_clientVersion and web3_sha3; all in batches too, in the form that geth gives. The method handlers are ours,
// because geth's come with its whole node: peers, sync and two disk databases, a fifth of what the first run would have
// to compile. Filters, subscriptions, proofs of state, traces and blob transactions are not there.
//
// # Time
//
// Payments expire by block time, so block time must mean wall time. Ethereum counts block time in whole seconds and
// every block must be later than its parent; a chain that mines faster than one block a second therefore runs ahead of
// the wall clock, without bound (measured: at a block every 500 ms it gains one second every second). With the default
// block time of one second the miner waits for the wall clock instead: block n+1 is mined when the second after block n
// begins, so its timestamp is the wall clock's second. Blocks that are mined on request ([Chain.Mine], [Chain.Reorg])
// may still put the chain ahead; the miner then slows down to a block every 1.5 s until the clocks agree. A shorter
// block time is for tests that want many blocks and do not care about the clock.
package devnet
