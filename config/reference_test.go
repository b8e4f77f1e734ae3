package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

var update = flag.Bool("update", false, "write the generated files")

func TestReference(t *testing.T) {
	for path, want := range map[string]string{"../docs/configuration.md": Reference(), "../.env.example": EnvExample()} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the struct says; run: go test ./config -run TestReference -update", path)
		}
	}
}

func TestEveryVariableIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range variables() {
		if v.Desc == "" || !strings.HasSuffix(v.Desc, ".") || seen[v.Name] {
			t.Errorf("%s: twice, or without a description that ends in a full stop: %q", v.Name, v.Desc)
		}
		seen[v.Name] = true
		if !strings.Contains(Reference(), "| `"+v.Name+"` |") {
			t.Errorf("%s is not in the reference", v.Name)
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d variables found", len(seen))
	}
}

// The example starts in development as it is, and production refuses each of its secrets.
func TestEnvExampleIsForDevelopmentOnly(t *testing.T) {
	example, err := godotenv.Unmarshal(EnvExample())
	if err != nil {
		t.Fatal(err)
	}
	example["CHAINS_FILE"] = "../" + example["CHAINS_FILE"]
	load := func(env string) error {
		example["ENV"] = env
		var environ []string
		for name, value := range example {
			environ = append(environ, name+"="+value)
		}
		_, err := Load(Options{Process: ProcessAPI, Environ: environ})
		return err
	}
	if err := load(Development); err != nil {
		t.Fatal(err)
	}
	errs := fieldErrorsOf(t, load(Production))
	for _, name := range []string{"MASTER_KEYS", "OPERATOR_TOKEN", "DATABASE_URL", "PUBLIC_URL"} {
		if !errs.Has(name) {
			t.Errorf("production accepts the example's %s", name)
		}
	}
}
