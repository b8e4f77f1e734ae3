package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/app"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/telemetry/otlp"
)

// Exit codes of the binaries.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Main is the whole of a production binary: it loads the configuration from the environment, runs the role until
// SIGINT or SIGTERM, and returns the exit code. The verb "healthcheck" asks the running process on its ops listener
// instead, for container images that have no shell.
func Main(process string, role app.Role, args []string, stdout, stderr io.Writer) int {
	if len(args) > 1 || len(args) == 1 && args[0] != "healthcheck" {
		fmt.Fprintf(stderr, "usage: %s [healthcheck]\n\nEvery setting is an environment variable: see "+
			"docs/configuration.md.\n", process)
		return exitUsage
	}
	cfg, err := config.Load(config.Options{Process: process, DotEnv: ".env"})
	if err != nil {
		fmt.Fprintf(stderr, "%s: the configuration has faults:\n%v\n", process, err)
		return exitError
	}
	if len(args) == 1 {
		return healthcheck(cfg.OpsAddr, stdout, stderr)
	}
	log, err := telemetry.NewLogger(telemetry.LogOptions{Writer: stderr, Level: cfg.LogLevel, Format: cfg.LogFormat,
		Service: "ctrip-" + process})
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", process, err)
		return exitError
	}
	telemetry.CaptureStandardLog(log)
	for _, w := range cfg.Warnings {
		log.Warn("config.warning", "detail", w)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a, err := app.New(ctx, cfg, app.Options{Roles: role, Process: process, Logger: log, NewTraceExporter: otlp.New})
	if err == nil {
		err = a.Run(ctx)
	}
	if err != nil {
		log.Error("process.failed", "error", err)
		return exitError
	}
	return exitOK
}

// healthcheck asks /healthz of the process that listens on addr.
func healthcheck(addr string, stdout, stderr io.Writer) int {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		err = getHealth("http://" + net.JoinHostPort(host, port) + "/healthz")
	}
	if err != nil {
		fmt.Fprintln(stderr, "unhealthy:", err)
		return exitError
	}
	fmt.Fprintln(stdout, "healthy")
	return exitOK
}

func getHealth(url string) error {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
