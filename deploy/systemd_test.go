package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSystemdUnits: there is a unit for each process that runs, hardened alike, with the settings that the page for
// bare metal writes, and it waits longer for the end than a process takes.
func TestSystemdUnits(t *testing.T) {
	page, err := os.ReadFile("../docs/bare-metal.md")
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, role := range []string{"api", "worker", "scanner"} {
		text, err := os.ReadFile("systemd/ctrip-" + role + ".service")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"ExecStart=/usr/local/bin/ctrip-" + role, "EnvironmentFile=/etc/ctrip/env",
			"User=ctrip", "Restart=always", "TimeoutStopSec=60", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=",
			"WantedBy=multi-user.target"} {
			if !strings.Contains(string(text), "\n"+line+"\n") {
				t.Errorf("%s: lacks %s", role, line)
			}
		}
		for n, line := range strings.Split(string(text), "\n") {
			if !regexp.MustCompile(`^(|#.*|\[\w+\]|\w+=.*)$`).MatchString(line) {
				t.Errorf("%s:%d: %s", role, n+1, line)
			}
		}
		if _, err := os.Stat("../cmd/" + role); err != nil {
			t.Error(err)
		}
	}
	for _, word := range []string{"/etc/ctrip/env", "deploy/systemd/", "ctrip-$role", "ctripctl migrate up", "createuser",
		"TRUSTED_PROXIES"} {
		if !strings.Contains(string(page), word) {
			t.Errorf("the page does not speak of %s", word)
		}
	}
}
