package cli

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/webhook"
)

func (sh *shell) completion() *cobra.Command {
	c := &cobra.Command{
		Use: "completion SHELL", Short: "Print a script that completes commands, flags and their values in bash, zsh or fish",
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"bash", "zsh", "fish"},
		Example: `  source <(ctripctl completion bash)
  ctripctl completion zsh > "${fpath[1]}/_ctripctl"
  ctripctl completion fish > ~/.config/fish/completions/ctripctl.fish`,
	}
	c.RunE = sh.do(func(_ context.Context, args []string) error {
		var script bytes.Buffer
		write := map[string]func() error{
			"bash": func() error { return c.Root().GenBashCompletionV2(&script, true) },
			"zsh":  func() error { return c.Root().GenZshCompletion(&script) },
			"fish": func() error { return c.Root().GenFishCompletion(&script, true) },
		}
		if err := write[args[0]](); err != nil {
			return err
		}
		return sh.answer(struct {
			Script string `json:"script"`
		}{script.String()}, func() error {
			_, err := sh.out.Write(script.Bytes())
			return err
		})
	})
	return c
}

// eventPatterns are what an endpoint, or listen, can ask for.
func eventPatterns() []webhook.EventType {
	return append([]webhook.EventType{webhook.PatternAll, webhook.PatternPayments}, webhook.EventTypes()...)
}

// suggest completes the values of a flag.
func suggest[T ~string](c *cobra.Command, flag string, values []T) {
	var words []string
	for _, v := range values {
		words = append(words, string(v))
	}
	if err := c.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not defined: a mistake in this package that every test would meet
	}
}
