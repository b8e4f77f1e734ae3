package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

func main() {
	durable := flag.Bool("durable", false, "sync commits to disk")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: services [-durable] -- command [argument...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	code, err := run(testkit.PostgresOptions{Durable: *durable}, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(o testkit.PostgresOptions, command []string) (int, error) {
	pg, err := testkit.StartPostgres(o)
	if err != nil {
		return 1, err
	}
	code, err := testkit.Supervise(command, testkit.PostgresEnv+"="+pg.URL("postgres"))
	if err := errors.Join(err, pg.Close()); err != nil {
		return max(code, 1), err
	}
	return code, nil
}
