package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/testkit/suite"
)

func main() {
	why := flag.Bool("why", false, "print the place that decided for the race detector")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: suite [-why] plain|race|real")
		flag.PrintDefaults()
	}
	flag.Parse()
	run := suite.Run(flag.Arg(0))
	if flag.NArg() != 1 || !slices.Contains(suite.Runs, run) {
		flag.Usage()
		os.Exit(2)
	}
	packages, err := suite.Packages(context.Background(), ".")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, p := range packages {
		switch {
		case p.Run != run:
		case *why && p.Why != "":
			fmt.Printf("%s\t%s\n", p.Path, p.Why)
		default:
			fmt.Println(p.Path)
		}
	}
}
