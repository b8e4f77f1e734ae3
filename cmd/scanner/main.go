package main

import (
	"os"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/app"
)

func main() {
	os.Exit(app.Main(config.ProcessScanner, app.Scanner, os.Args[1:], os.Stdout, os.Stderr))
}
