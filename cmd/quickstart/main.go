package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ctrip-gateway/ctrip/internal/quickstart"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

func main() {
	o := quickstart.Options{Out: os.Stdout}
	once := "127.0.0.1:0"
	flag.StringVar(&o.APIAddr, "api-addr", "",
		"where the API listens (default 127.0.0.1:8080, or a free port with --once)")
	flag.StringVar(&o.OpsAddr, "ops-addr", "",
		"where health, metrics and queues are served (default 127.0.0.1:9090, or a free port with --once)")
	flag.StringVar(&o.RPCAddr, "rpc-addr", "",
		"where the chain's JSON-RPC listens (default 127.0.0.1:8545, or a free port with --once)")
	flag.StringVar(&o.EnvFile, "env-file", "", "write a shell file with URLs and keys when everything answers")
	flag.BoolVar(&o.Once, "once", false, "tell the story, then exit: 0 only if all of it held")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "quickstart: %q is no flag, and what follows it would be ignored; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	for flagged, fixed := range map[*string]string{&o.APIAddr: "127.0.0.1:8080", &o.OpsAddr: "127.0.0.1:9090",
		&o.RPCAddr: "127.0.0.1:8545"} {
		if *flagged == "" {
			*flagged = fixed
			if o.Once {
				*flagged = once
			}
		}
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	telemetry.CaptureStandardLog(o.Log)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := quickstart.Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}
