package devnet_test

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

func ExampleStartChain() {
	chain, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chain.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mining := make(chan error)
	go func() { mining <- chain.Run(ctx) }()

	shop, _ := devnet.NewKey()
	hash, err := chain.SendNative(ctx, chain.DemoPayer(), shop.Address(), big.NewInt(1_000))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := chain.WaitMined(ctx, hash); err != nil {
		fmt.Println(err)
		return
	}
	wei, _ := chain.NativeBalance(shop.Address())
	fmt.Println("the shop has", wei, "wei")

	cancel()
	fmt.Println(<-mining)
	// Output:
	// the shop has 1000 wei
	// <nil>
}

func ExampleChain_SendToken() {
	chain, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chain.Close()
	ctx := context.Background()
	shop, _ := devnet.NewKey()
	oneToken := new(big.Int).Exp(big.NewInt(10), big.NewInt(devnet.TokenDecimals), nil)
	hash, err := chain.SendToken(ctx, chain.DemoPayer(), shop.Address(), oneToken)
	if err != nil {
		fmt.Println(err)
		return
	}
	head, _ := chain.Mine() // without Run, blocks are made on request
	mined, err := chain.WaitMined(ctx, hash)
	fmt.Println(mined.Block == head, err)
	// Output: true <nil>
}

func ExampleChain_ReorgOut() {
	chain, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chain.Close()
	shop, _ := devnet.NewKey()
	hash, _ := chain.SendNative(context.Background(), chain.DemoPayer(), shop.Address(), big.NewInt(1_000))
	chain.Mine()
	chain.Mine()
	paid, _ := chain.NativeBalance(shop.Address())

	done, err := chain.ReorgOut(hash)
	left, _ := chain.NativeBalance(shop.Address())
	fmt.Println("blocks replaced:", done.Depth, err)
	fmt.Println("the shop had", paid, "wei and has", left)
	// Output:
	// blocks replaced: 2 <nil>
	// the shop had 1000 wei and has 0
}

func ExampleChain_Reorg() {
	chain, err := devnet.StartChain(devnet.ChainOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chain.Close()
	ctx := context.Background()
	shop, _ := devnet.NewKey()
	hash, _ := chain.SendNative(ctx, chain.DemoPayer(), shop.Address(), big.NewInt(1_000))
	chain.Mine()
	before, _ := chain.WaitMined(ctx, hash)
	if _, err := chain.Reorg(1); err != nil {
		fmt.Println(err)
		return
	}
	after, _ := chain.WaitMined(ctx, hash)
	fmt.Println("mined again, blocks later:", after.Block.Number-before.Block.Number)
	// Output: mined again, blocks later: 1
}

func ExampleStartRedis() {
	server, err := devnet.StartRedis("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(server.URL() == "redis://"+server.Addr()+"/0")
	// Output: true
}
