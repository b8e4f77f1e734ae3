package test

import (
	"debug/elf"
	"slices"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// TestProgramsAreStatic: the image holds nothing but the programs, so that they must need no library and no loader.
func TestProgramsAreStatic(t *testing.T) {
	for _, name := range []string{"api", "worker", "scanner", "ctripctl"} {
		f, err := elf.Open(gateway.Binary(t, name))
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		libs, err := f.ImportedLibraries()
		if err != nil || len(libs) > 0 {
			t.Errorf("%s needs %v, %v", name, libs, err)
		}
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s needs a loader", name)
		}
	}
}
