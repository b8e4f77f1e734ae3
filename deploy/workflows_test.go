package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestWorkflowsCallOurTargets: the workflows run what everybody can run, from actions of a pinned version, with no more
// rights than they need; what a tag is called reaches a shell in a variable only.
func TestWorkflowsCallOurTargets(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) != 2 {
		t.Fatalf("workflows %v, %v", files, err)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var flow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Steps []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal(raw, &flow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(flow.Permissions) != 1 || flow.Permissions["contents"] == "" {
			t.Errorf("%s: permissions %v", file, flow.Permissions)
		}
		for _, job := range flow.Jobs {
			for _, step := range job.Steps {
				if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@v\d+$`).MatchString(step.Uses) {
					t.Errorf("%s uses %s", file, step.Uses)
				}
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: %s has an expression in it", file, step.Run)
				}
				if _, target, ok := strings.Cut(step.Run, "make "); ok {
					target, _, _ = strings.Cut(target, " ")
					if !strings.Contains(string(makefile), "\n"+target+":") {
						t.Errorf("%s: there is no target %s", file, target)
					}
				}
			}
		}
	}
}
