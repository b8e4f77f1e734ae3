package main

import (
	"os"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/app"
	"github.com/ctrip-gateway/ctrip/internal/app/program"
)

func main() {
	os.Exit(program.Main(config.ProcessAPI, app.API, os.Args[1:], os.Stdout, os.Stderr))
}
