package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReleaseIsReproducible builds a release twice, from two copies of the tree in different places: the bytes are the
// same, and the programs say the version.
func TestReleaseIsReproducible(t *testing.T) {
	var sums [2][]byte
	var dist string
	for i := range sums {
		tree := filepath.Join(t.TempDir(), "ctrip")
		copied := exec.CommandContext(t.Context(), "sh", "-c",
			`git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$1" -xf -`, "copy", tree)
		copied.Dir = ".."
		if err := os.MkdirAll(tree, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := copied.CombinedOutput(); err != nil {
			t.Fatalf("copy: %v\n%s", err, out)
		}
		release := exec.CommandContext(t.Context(), "scripts/release", "v9.8.7", "dist")
		release.Dir = tree
		release.Env = append(os.Environ(), "ARCHITECTURES=amd64", "SBOM=off", "SOURCE_DATE_EPOCH=1700000000")
		if out, err := release.CombinedOutput(); err != nil {
			t.Fatalf("release: %v\n%s", err, out)
		}
		dist = filepath.Join(tree, "dist")
		var err error
		if sums[i], err = os.ReadFile(filepath.Join(dist, "SHA256SUMS")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) || !bytes.Contains(sums[0], []byte("ctrip_v9.8.7_linux_amd64.tar.gz")) {
		t.Errorf("two builds give\n%s\nand\n%s", sums[0], sums[1])
	}
	unpack := exec.CommandContext(t.Context(), "tar", "-xzf", "ctrip_v9.8.7_linux_amd64.tar.gz")
	unpack.Dir = dist
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	program := filepath.Join(dist, "ctrip_v9.8.7_linux_amd64", "ctripctl")
	out, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v9.8.7") {
		t.Errorf("version says %s, %v", out, err)
	}
}
