package ctrip_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// dialing names what opens a connection, by the import path that has it; "" stands for everything of that package.
var dialing = map[string][]string{
	"net": {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer", "DefaultResolver", "Resolver", "LookupHost",
		"LookupIP", "LookupAddr", "LookupCNAME", "LookupMX", "LookupNS", "LookupSRV", "LookupTXT", "ResolveTCPAddr", "ResolveUDPAddr", "ResolveIPAddr"},
	"crypto/tls":        {"Dial", "DialWithDialer", "Dialer"},
	"net/http":          {"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "Transport", "DefaultTransport", "NewFileTransport", "ProxyFromEnvironment"},
	"net/http/httputil": {"ReverseProxy", "NewSingleHostReverseProxy", "NewClientConn"},
	"net/rpc":           {""}, "net/smtp": {""}, "os/exec": {""}, "syscall": {"Connect", "Socket", "Exec", "ForkExec", "StartProcess"},
	"os": {"StartProcess"}, "golang.org/x/net/websocket": {""}, "golang.org/x/net/proxy": {""}, "golang.org/x/net/http2": {""},
	"golang.org/x/sys/unix": {""}, "github.com/gorilla/websocket": {""}, "github.com/ethereum/go-ethereum/ethclient": {"Dial", "DialContext"},
	"github.com/ethereum/go-ethereum/rpc": {"Dial", "DialContext", "DialHTTP", "DialHTTPWithClient", "DialOptions", "DialWebsocket", "DialIPC"},
	"github.com/redis/go-redis/v9":        {"NewClient", "NewUniversalClient", "NewFailoverClient", "NewFailoverClusterClient", "NewClusterClient", "NewRing", "NewSentinelClient"},
	"github.com/hibiken/asynq": {"NewClient", "NewServer", "NewInspector", "NewScheduler", "NewClientFromRedisClient",
		"NewServerFromRedisClient", "NewInspectorFromRedisClient", "NewSchedulerFromRedisClient"},
	"github.com/jackc/pgx/v5": {"Connect", "ConnectConfig"}, "github.com/jackc/pgx/v5/pgxpool": {""}, "github.com/jackc/pgx/v5/stdlib": {"OpenDB"}, "database/sql": {"Open", "OpenDB"},
	"gorm.io/driver/postgres": {"Open", "New"},
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": {""}, "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc": {""},
	"google.golang.org/grpc": {""},
}

// dials lists what a file uses of it.
func dials(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	names := make(map[string][]string)
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		what, known := dialing[imported]
		if !known {
			continue
		}
		switch {
		case what[0] == "" || spec.Name != nil && spec.Name.Name == ".":
			found = append(found, imported)
		case spec.Name != nil:
			names[spec.Name.Name] = what
		case strings.HasSuffix(imported, "/v5") || strings.HasSuffix(imported, "/v9"):
			names[map[string]string{"github.com/jackc/pgx/v5": "pgx", "github.com/redis/go-redis/v9": "redis"}[imported]] = what
		default:
			names[imported[strings.LastIndexByte(imported, '/')+1:]] = what
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(names[x.Name], s.Sel.Name) {
				found = append(found, x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}

// TestWhoDials holds every package that a binary links against the table of those that may open a connection, so that
// no second way to somebody else's address grows beside internal/egress.
func TestWhoDials(t *testing.T) {
	may := make(map[string]bool)
	for _, row := range table(t, "Who dials") {
		may[row[0]] = false
	}
	for _, p := range list(t, "-deps", "./cmd/...") {
		if !strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		found := make(map[string]bool)
		for _, name := range p.GoFiles {
			for _, what := range dials(t, filepath.Join(p.Dir, name)) {
				found[what] = true
			}
		}
		_, listed := may[p.name()]
		if len(found) > 0 && !listed {
			t.Errorf("%s opens connections (%s); what a merchant can name goes through internal/egress, anything else into "+
				"the table of ARCHITECTURE.md",
				p.name(), strings.Join(slices.Sorted(maps.Keys(found)), ", "))
		}
		if listed && len(found) > 0 {
			may[p.name()] = true
		}
	}
	for name, does := range may {
		if !does {
			t.Errorf("ARCHITECTURE.md says that %s opens connections, and it does not", name)
		}
	}
}

// TestEveryDialerIsSeen: the list of ways to dial is not blind to any of these.
func TestEveryDialerIsSeen(t *testing.T) {
	for file, want := range map[string]string{
		"internal/egress/dial.go": "net.Dialer", "internal/egress/pool.go": "http.Transport", "internal/evm/provider.go": "rpc.DialOptions",
		"internal/app/program/program.go": "http.Client", "internal/receivertest/run.go": "http.Client",
	} {
		if found := dials(t, file); !slices.Contains(found, want) {
			t.Errorf("%s: %v, without %s", file, found, want)
		}
	}
}

// TestUserURLsGoThroughEgress: the only packages that ask internal/egress to connect somewhere are the one that sends
// webhooks and the one that probes endpoints for an operator; the API checks the form of a URL and connects to nothing.
func TestUserURLsGoThroughEgress(t *testing.T) {
	got := make(map[string]bool)
	for _, p := range list(t, "-deps", "./cmd/...") {
		if !slices.Contains(p.Imports, module+"/internal/egress") {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Request" && fmt.Sprint(s.X) == "egress" {
						got[p.name()+" sends"] = true
					}
				case *ast.CallExpr:
					if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Probe" && len(n.Args) == 4 {
						got[p.name()+" probes"] = true
					}
				}
				return true
			})
		}
	}
	if want := []string{"internal/admin probes", "internal/delivery sends"}; !slices.Equal(slices.Sorted(maps.Keys(got)),
		want) {
		t.Errorf("connections by way of internal/egress: %v, want %v", got, want)
	}
}
