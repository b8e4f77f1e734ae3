package config_test

import (
	"fmt"

	"github.com/ctrip-gateway/ctrip/config"
)

func ExampleLoad() {
	_, err := config.Load(config.Options{
		Process: config.ProcessWorker,
		Environ: []string{
			"ENV=production",
			"DATABASE_URL=sqlite://ctrip.db",
			"REDIS_URL=redis://cache:6379",
			"MASTER_KEYS=k1:c2hvcnQ=",
			"OPERATOR_TOKEN=hunter2",
			"WEBHOOK_TIMEOUT=soon",
			"PRIVATE_KEY=1",
		},
	})
	fmt.Println(err)
	// Output:
	// config: 6 faults:
	//   PRIVATE_KEY: the gateway never needs a private key or mnemonic; unset it
	//   MASTER_KEYS: key 1 has 5 bytes, want 32
	//   WEBHOOK_TIMEOUT: is not a duration such as 10s or 180d
	//   DATABASE_URL: names SQLite, which exists only inside the quickstart; use postgres://
	//   PUBLIC_URL: must be https in production
	//   OPERATOR_TOKEN: has fewer than 32 characters
}

func ExampleSecret() {
	token := config.Secret("hunter2")
	fmt.Printf("%s %v %q %x\n", token, token, token, token)
	// Output: [redacted] [redacted] "[redacted]" [redacted]
}

func ExampleURL() {
	fmt.Println(config.URL("https://rpc.example/v2/api-key"))
	fmt.Println(config.URL("postgres://gateway:password@db:5432/ctrip"))
	// Output:
	// https://rpc.example/…
	// postgres://db:5432/…
}

func ExampleParseRedis() {
	r, err := config.ParseRedis("redis-sentinel://:password@s1,s2:5000/2?master=main")
	fmt.Println(r.Mode, r.Addrs, r.MasterName, r.DB, r.Password, err)
	// Output: sentinel [s1:26379 s2:5000] main 2 [redacted] <nil>
}

func ExampleParseChains() {
	_, err := config.ParseChains([]byte(`
- name: base
  chain_id: 8453
  rpc_urls: [https://mainnet.base.org]
  finality: {tag: latest, depth: 30}
  tokens:
    - {symbol: USDC, contract: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"}
`))
	fmt.Println(err)
	// Output:
	// config: 2 faults:
	//   chains[0].tokens[0].decimals: is required (line 7)
	//   chains[0].finality.tag: must be finalized or safe, or left out (line 5)
}

func ExampleParseDuration() {
	d, err := config.ParseDuration("1d12h")
	fmt.Println(d, err)
	// Output: 36h0m0s <nil>
}
