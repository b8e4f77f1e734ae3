package deploy_test

import (
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/joho/godotenv"
)

// ours are the services that run the gateway's own image, with the binary that each one starts.
var ours = map[string]string{"migrate": "ctripctl", "api": "api", "worker": "worker", "scanner": "scanner"}

// oneShot are the services that end by themselves.
var oneShot = []string{"migrate"}

// secrets returns an environment as scripts/dotenv writes it.
func secrets(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	if out, err := exec.Command("../scripts/dotenv", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env, err := godotenv.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func load(t *testing.T, env map[string]string) (*types.Project, error) {
	t.Helper()
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	o, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithWorkingDirectory(".."), cli.WithEnv(list),
		cli.WithProfiles([]string{"*"}), cli.WithoutEnvironmentResolution) // a developer's own .env stays out of it
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeHasEveryService(t *testing.T) {
	p := project(t)
	want := []string{"anvil", "api", "grafana", "migrate", "postgres", "prometheus", "redis", "scanner", "worker"}
	if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, want) {
		t.Fatalf("services %v, want %v", got, want)
	}
	for name, s := range p.Services { // what watches is started on request only
		watches := name == "grafana" || name == "prometheus"
		if watches != slices.Contains(s.Profiles, "monitoring") {
			t.Errorf("%s: profiles %v", name, s.Profiles)
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestComposeRefusesMissingSecrets(t *testing.T) {
	for _, name := range []string{"POSTGRES_PASSWORD", "MASTER_KEYS", "OPERATOR_TOKEN"} {
		env := secrets(t)
		delete(env, name)
		if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// Whatever is secret must come from the environment: no value of it is in the file, and every place where it ends up
// changes with it.
func TestComposeHasNoLiteralSecrets(t *testing.T) {
	env := secrets(t)
	p, err := load(t, env)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range p.Services {
		for k, v := range s.Environment {
			if v == nil {
				continue
			}
			switch k {
			case "POSTGRES_PASSWORD", "MASTER_KEYS", "OPERATOR_TOKEN":
				if *v != env[k] {
					t.Errorf("%s: %s does not come from the environment", name, k)
				}
			case "GF_SECURITY_ADMIN_PASSWORD":
				if *v != env["GRAFANA_PASSWORD"] {
					t.Errorf("%s: %s does not come from the environment", name, k)
				}
			case "DATABASE_URL":
				if !strings.Contains(*v, ":"+env["POSTGRES_PASSWORD"]+"@") {
					t.Errorf("%s: DATABASE_URL does not hold the password of the environment", name)
				}
			case "ENV", "REDIS_URL", "PUBLIC_URL", "CHAINS_FILE", "API_ADDR", "OPS_ADDR", "POSTGRES_USER", "POSTGRES_DB",
				"GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES":
			default:
				t.Errorf("%s: %s: say here whether it is secret", name, k)
			}
		}
	}
}

func TestComposePublishesOnLoopbackOnly(t *testing.T) {
	published := map[string]bool{}
	for name, s := range project(t).Services {
		if s.NetworkMode != "" || s.Privileged {
			t.Errorf("%s: network_mode %q, privileged %v", name, s.NetworkMode, s.Privileged)
		}
		for _, port := range s.Ports {
			if ip := net.ParseIP(port.HostIP); ip == nil || !ip.IsLoopback() {
				t.Errorf("%s: port %s is published on %q", name, port.Published, port.HostIP)
			}
			published[name+":"+port.Published] = true
		}
	}
	for _, want := range []string{"api:8080", "api:9090", "anvil:8545"} {
		if !published[want] {
			t.Errorf("%s is not published", want)
		}
	}
}

func TestComposeHealthChecks(t *testing.T) {
	for name, s := range project(t).Services {
		if slices.Contains(oneShot, name) {
			if s.Restart != "no" {
				t.Errorf("%s ends by itself and is restarted: %q", name, s.Restart)
			}
			continue
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
		h := s.HealthCheck
		if h == nil || h.Disable || len(h.Test) < 2 || h.Interval == nil || h.Timeout == nil || h.Retries == nil {
			t.Errorf("%s has no complete health check: %+v", name, h)
			continue
		}
		if bin, ok := ours[name]; ok {
			if want := []string{"CMD", "/usr/local/bin/" + bin, "healthcheck"}; !slices.Equal(h.Test, want) {
				t.Errorf("%s: health check %q, want %q", name, h.Test, want)
			}
		}
	}
}

func TestComposeRedisKeepsTasks(t *testing.T) {
	flags := strings.Join(project(t).Services["redis"].Command, " ") + " "
	for _, want := range []string{"--appendonly yes ", "--appendfsync everysec ", "--maxmemory-policy noeviction ",
		"--hash-max-listpack-value 512 "} {
		if !strings.Contains(flags, want) {
			t.Errorf("redis runs without %q: %s", want, flags)
		}
	}
}

func TestComposeStartsInOrder(t *testing.T) {
	p := project(t)
	if got := p.Services["migrate"].DependsOn["postgres"].Condition; got != types.ServiceConditionHealthy {
		t.Errorf("migrate waits for postgres: %q", got)
	}
	want := []string{"/usr/local/bin/ctripctl", "migrate", "up"}
	if got := []string(p.Services["migrate"].Entrypoint); !slices.Equal(got, want) {
		t.Errorf("migrate runs %q", got)
	}
	for _, name := range []string{"api", "worker", "scanner"} {
		want := map[string]string{
			"postgres": types.ServiceConditionHealthy,
			"redis":    types.ServiceConditionHealthy,
			"migrate":  types.ServiceConditionCompletedSuccessfully,
		}
		if name == "scanner" {
			want["anvil"] = types.ServiceConditionHealthy
		}
		got := map[string]string{}
		for on, d := range p.Services[name].DependsOn {
			got[on] = d.Condition
			if !d.Required {
				t.Errorf("%s could start without %s", name, on)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s depends on %v, want %v", name, got, want)
		}
	}
}

func TestComposeHardensOurServices(t *testing.T) {
	p := project(t)
	for name, bin := range ours {
		s := p.Services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.User != "" || len(s.CapAdd) > 0 {
			t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v, user %q, cap_add %v", name, s.ReadOnly, s.CapDrop,
				s.SecurityOpt, s.User, s.CapAdd)
		}
		if len(s.Entrypoint) == 0 || s.Entrypoint[0] != "/usr/local/bin/"+bin {
			t.Errorf("%s runs %q", name, s.Entrypoint)
		}
		for _, v := range s.Volumes {
			if !v.ReadOnly {
				t.Errorf("%s may write to %s", name, v.Target)
			}
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
			}
		}
		if chains := s.Environment["CHAINS_FILE"]; chains == nil ||
			!slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == *chains }) {
			t.Errorf("%s: CHAINS_FILE is not mounted", name)
		}
	}
}

func TestComposePinsImages(t *testing.T) {
	for name, s := range project(t).Services {
		if _, isOurs := ours[name]; isOurs {
			if s.Build == nil || s.Image != "ctrip:local" {
				t.Errorf("%s does not run the image that is built here: %q", name, s.Image)
			}
			continue
		}
		if err := pinned(s.Image); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
