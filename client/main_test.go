package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/app/apptest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// gw is the gateway of all tests and examples here, each with a merchant of its own.
var gw *apptest.Gateway

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(func(t testkit.TB) {
		gw = apptest.New(t, testkit.Postgres(t))
		if code := m.Run(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}))
}

// merchant is a client of the gateway as a new merchant.
func merchant() *client.Client {
	_, key := gw.NewMerchant()
	c, err := client.New(client.Options{URL: gw.URL, Key: key})
	if err != nil {
		panic(err)
	}
	return c
}

// TestGenerated runs the generator again: the code in the repository is what openapi.yaml says.
func TestGenerated(t *testing.T) {
	out := filepath.Join(t.TempDir(), "client.gen.go")
	cmd := testkit.Go(t.Context(), "run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen", "-config",
		"oapi-codegen.yaml", "-o", out, "../internal/api/openapi.yaml")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("client.gen.go is out of date: run go generate ./client")
	}
}

// TestImports: whoever imports the client gets nothing but the standard library and package webhook with it.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/ctrip-gateway/ctrip/"
	if got, want := string(out), module+"webhook\n"+module+"client\n"; got != want {
		t.Errorf("the client needs\n%s", got)
	}
}
