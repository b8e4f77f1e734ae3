package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// errSaid ends a command whose result, already printed, is bad news.
var errSaid = errors.New("the result was bad news")

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// shell is what the commands share.
type shell struct {
	in       io.Reader
	out, err io.Writer
	json     bool
	apiURL   string
	started  bool // a command's own code has begun; until then every error is one of usage
}

// Main is ctripctl on the arguments and files of this process. It ends in good order on SIGINT and SIGTERM and returns
// the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// Run is ctripctl, and returns its exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	sh := &shell{in: in, out: out, err: errs}
	root := sh.root()
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	var usage usageError
	var problem *client.Problem
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailure
	case errors.As(err, &usage) || !sh.started:
		fmt.Fprintf(errs, "ctripctl: %v\nRun `%s --help` for how to call it.\n", err, called.CommandPath())
		return exitUsage
	}
	if errors.As(err, &problem) {
		sh.printProblem(problem)
		return exitFailure
	}
	fmt.Fprintf(errs, "ctripctl: %v\n", err)
	return exitFailure
}

func (sh *shell) root() *cobra.Command {
	root := sh.group("ctripctl", "Use and operate a cTrip gateway")
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"merchants", "For merchants:", []*cobra.Command{sh.api(), sh.listen(), sh.webhook()}},
		{"operators", "For operators, on the gateway's database:", append([]*cobra.Command{
			sh.migrate(), sh.restore(), sh.merchant(), sh.key(), sh.portalLink(), sh.endpoint(), sh.signingKey(), sh.delivery(),
			sh.replay(),
			sh.chain(), sh.doubt(), sh.quarantine(), sh.audit(), sh.addresses(), sh.config(), sh.doctor(), sh.status(),
		}, sh.oldPauses()...)},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(sh.completion(), sh.version())
	root.Long = `Use and operate a cTrip gateway.

Merchants reach it over its REST API and need CTRIP_API_URL and CTRIP_API_KEY. For operators, who work on its database, the
settings are those of the gateway. All come from the environment or, in development, from .env: see
` + "`ctripctl config reference`" + `. A command needs only the settings that it uses. Every change that an operator makes is written to
the audit log under his user name.

Exits with 0 when the command did what it says, 1 when it could not or its finding is bad news, and 2 when it was called
wrongly. Results go to standard output, everything else to standard error.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // ours has no PowerShell, and prints JSON too
	// A group is runnable only to say that it is not: its usage is that of its commands.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not "+
		".HasAvailableSubCommands)}}", 1))
	root.PersistentFlags().BoolVar(&sh.json, "json", false, "print JSON with stable keys")
	root.SetIn(sh.in)
	root.SetOut(sh.out)
	root.SetErr(sh.err)
	return root
}

// group is a command that only has commands below it.
func (sh *shell) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused("%q is not a command of %s", args[0], c.CommandPath())
			}
			return misused("%s needs a command", c.CommandPath())
		}}
	g.AddCommand(commands...)
	return g
}

// do marks where a command's own code begins.
func (sh *shell) do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		sh.started = true
		return f(c.Context(), args)
	}
}

// onDatabase is do for commands that need the database.
func (sh *shell) onDatabase(f func(ctx context.Context, a *admin.Admin,
	args []string) error) func(*cobra.Command, []string) error {
	return sh.do(func(ctx context.Context, args []string) error {
		return sh.withAdmin(ctx, false, func(a *admin.Admin) error { return f(ctx, a, args) })
	})
}

// withAdmin opens the database for f and closes it again.
func (sh *shell) withAdmin(ctx context.Context, anySchema bool, f func(*admin.Admin) error) error {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	a, err := admin.Open(ctx, admin.Options{Config: cfg, Actor: actor(), Now: time.Now, AnySchema: anySchema})
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}

func loadConfig() (config.Config, error) {
	return config.Load(config.Options{Process: config.ProcessCtl, DotEnv: ".env"})
}

// actor is who the audit log names: the operating system's user, by number where it has no name, as in a container.
func actor() models.Actor {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return models.Actor{Name: "operator:" + u.Username}
	}
	return models.Actor{Name: "operator:uid-" + strconv.Itoa(os.Getuid())}
}

// require marks flags without which a command cannot be called.
func require(c *cobra.Command, flags ...string) *cobra.Command {
	for _, name := range flags {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is not defined: a mistake in this package that every test would meet
		}
	}
	return c
}

// largestInput bounds what is read from a file or standard input, in bytes.
const largestInput = 4 << 20

// read reads a file, or standard input for "-".
func (sh *shell) read(path string) ([]byte, error) {
	from := sh.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	content, err := io.ReadAll(io.LimitReader(from, largestInput+1))
	if err == nil && len(content) > largestInput {
		err = fmt.Errorf("%s is larger than %d MiB", path, largestInput>>20)
	}
	return content, err
}

// readLine reads a file that holds one value, and drops the line end behind it.
func (sh *shell) readLine(path string) (string, error) {
	content, err := sh.read(path)
	line := strings.TrimRight(string(content), "\r\n")
	if err == nil && line == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	return line, err
}

// duration is a flag with days: 180d, 1d12h, 90s.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (d *duration) Set(s string) error {
	v, err := config.ParseDuration(s)
	if err == nil && v < 0 {
		err = errors.New("must not be negative")
	}
	*d = duration(v)
	return err
}

func (*duration) Type() string { return "duration" }
