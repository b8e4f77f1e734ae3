package deploy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// instruction is one instruction of a Dockerfile with its continued lines joined.
type instruction struct {
	name  string // in capitals
	args  string
	stage int // counts from 0
}

// dockerfile parses the subset of the format that our file uses: comments, continued lines, no heredocs.
func dockerfile(t *testing.T) []instruction {
	t.Helper()
	b, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var list []instruction
	stage, line := -1, ""
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		text := strings.TrimSpace(sc.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if head, more := strings.CutSuffix(text, `\`); more {
			line += head
			continue
		}
		name, args, _ := strings.Cut(line+text, " ")
		line = ""
		in := instruction{name: strings.ToUpper(name), args: strings.TrimSpace(args)}
		if in.name == "FROM" {
			stage++
		}
		in.stage = stage
		list = append(list, in)
	}
	if line != "" || len(list) == 0 || list[0].name != "FROM" {
		t.Fatal("the Dockerfile does not parse")
	}
	return list
}

var version = regexp.MustCompile(`:v?[0-9]+(\.[0-9]+)*(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)

// pinned refuses images without a version.
func pinned(image string) error {
	if image != "scratch" && !version.MatchString(image) {
		return fmt.Errorf("image %q is not pinned to a version", image)
	}
	return nil
}

func TestPinned(t *testing.T) {
	for image, ok := range map[string]bool{
		"scratch": true, "postgres:16": true, "golang:1.26.8-bookworm": true, "ghcr.io/x/y:v1.1.0": true,
		"postgres": false, "postgres:latest": false, "localhost:5000/x": false, "x:stable": false,
	} {
		if err := pinned(image); (err == nil) != ok {
			t.Errorf("%s: %v", image, err)
		}
	}
}

func TestDockerfileLint(t *testing.T) {
	list := dockerfile(t)
	last := list[len(list)-1].stage
	known := []string{"FROM", "WORKDIR", "ENV", "COPY", "RUN", "USER", "CMD", "ARG", "LABEL"}
	user, base := "", ""
	for _, in := range list {
		if !slices.Contains(known, in.name) {
			t.Errorf("%s is not an instruction that these rules know", in.name)
		}
		if strings.Contains(in.args, "<<") {
			t.Errorf("%s: heredocs are not parsed here", in.name)
		}
		if regexp.MustCompile(`(?i)(password|secret|token|master_keys)\w*\s*=`).MatchString(in.args) {
			t.Errorf("%s sets something secret: %s", in.name, in.args)
		}
		switch in.name {
		case "FROM":
			base = strings.Fields(in.args)[0]
			if err := pinned(base); err != nil {
				t.Error(err)
			}
		case "WORKDIR":
			if !strings.HasPrefix(in.args, "/") {
				t.Errorf("WORKDIR %s is relative", in.args)
			}
		}
		if in.stage != last {
			continue
		}
		switch in.name {
		case "RUN", "ENV":
			t.Errorf("the final stage has %s %s", in.name, in.args)
		case "COPY":
			if !strings.HasPrefix(in.args, "--from=build /") {
				t.Errorf("the final stage copies from outside the build: %s", in.args)
			}
		case "CMD":
			if !strings.HasPrefix(in.args, `["/`) {
				t.Errorf("shell form: %s %s", in.name, in.args)
			}
		case "USER":
			user = in.args
		}
	}
	if user != "65532:65532" {
		t.Errorf("the image runs as %q", user)
	}
	if base != "scratch" {
		t.Errorf("the final stage is built on %s", base)
	}
	if !slices.ContainsFunc(list, func(in instruction) bool {
		return in.stage == last && in.name == "COPY" && strings.HasSuffix(in.args, " /etc/ssl/certs/ca-certificates.crt")
	}) {
		t.Error("the image has no certificate authorities")
	}
}

func TestDockerfileUsesTheModulesGo(t *testing.T) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(b)
	if m == nil {
		t.Fatal("go.mod names no Go version")
	}
	if from := dockerfile(t)[0].args; !strings.HasPrefix(from, "golang:"+string(m[1])+".") {
		t.Errorf("go.mod says Go %s, the Dockerfile builds FROM %s", m[1], from)
	}
}

func TestDockerignoreKeepsSecretsOut(t *testing.T) {
	b, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for _, want := range []string{".env", ".git", "**/node_modules", "**/*.db"} {
		if !slices.Contains(lines, want) {
			t.Errorf(".dockerignore lets %s in", want)
		}
	}
}

// TestDockerfileBuildsWhatIsTested: the image is built as the programs of the tests are, but that it says its version,
// and holds one for every service of the compose file.
func TestDockerfileBuildsWhatIsTested(t *testing.T) {
	flags := strings.TrimSuffix(testkit.BuildFlags, `"`) +
		` -X github.com/ctrip-gateway/ctrip/internal/telemetry.version=${VERSION}"`
	cgo, packages := false, []string(nil)
	for _, in := range dockerfile(t) {
		switch in.name {
		case "ENV":
			cgo = cgo || slices.Contains(strings.Fields(in.args), "CGO_ENABLED=0")
		case "RUN":
			command := in.args
			for strings.HasPrefix(command, "--mount=") {
				_, command, _ = strings.Cut(command, " ")
			}
			list, ok := strings.CutPrefix(command, "go build "+flags+" -o /out/ ")
			if !ok || packages != nil {
				t.Fatalf("RUN does something else than one go build with %s: %s", testkit.BuildFlags, command)
			}
			packages = strings.Fields(list)
		}
	}
	if !cgo {
		t.Error("the image is built without CGO_ENABLED=0")
	}
	for service, bin := range ours {
		if !slices.Contains(packages, "./cmd/"+bin) {
			t.Errorf("%s needs %s, which is not built", service, bin)
		}
	}
}

// TestImageHoldsTheTerms: the licences of what the programs link, and ours, are in the image.
func TestImageHoldsTheTerms(t *testing.T) {
	list := dockerfile(t)
	last := list[len(list)-1].stage
	if !slices.ContainsFunc(list, func(in instruction) bool {
		return in.stage == last && in.name == "COPY" && strings.Contains(in.args, "/src/LICENSE /src/THIRD_PARTY ")
	}) {
		t.Error("the final stage has no THIRD_PARTY")
	}
}
