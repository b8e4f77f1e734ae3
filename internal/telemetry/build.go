package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the linker in releases and images, which are built without a repository beside them.
var version string

// Build says what a binary was built from.
type Build struct {
	Version  string // of the release, or what Go made of the repository
	Revision string // commit, "" in releases and images
	Modified bool   // built from files that were not committed
	Go       string
}

// ThisBuild reads what this binary was built from.
func ThisBuild() Build {
	b := Build{Version: version, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// build is one series that says which build runs.
func build() prometheus.Collector {
	b := ThisBuild()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ctrip_build_info", Help: "1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go},
	})
	g.Set(1)
	return g
}
