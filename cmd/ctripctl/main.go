package main

import (
	"os"

	"github.com/ctrip-gateway/ctrip/internal/cli"
)

func main() { os.Exit(cli.Main()) }
