package test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// Receivers behind the servers that people put in front of them, and the way out through the proxies that they run:
// Debian's programs, each with a configuration and a directory of its own.

// front is a server in front of a receiver, or a proxy on the way out.
type front struct {
	program string
	args    func(dir string) []string
	config  string // with {port}, {dir} and {to} to be filled in
}

var fronts = map[string]front{
	// A connection takes few requests, so that each of them is drained again and again.
	"nginx": {"nginx",
		func(dir string) []string { return []string{"-p", dir, "-c", dir + "/config", "-g", "daemon off;"} },
		`worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events { worker_connections 256; }
http { access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
 uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 server { listen 127.0.0.1:{port} ssl http2; ssl_certificate {dir}/full.pem; ssl_certificate_key {dir}/key.pem;
 keepalive_requests 7; location / { proxy_pass http://{to}; } } }
`},
	"haproxy": {"haproxy", func(dir string) []string { return []string{"-db", "-f", dir + "/config"} },
		`global
 maxconn 256
defaults
 mode http
 timeout connect 5s
 timeout client 30s
 timeout server 30s
frontend f
 bind 127.0.0.1:{port} ssl crt {dir}/both.pem alpn h2,http/1.1
 default_backend b
backend b
 server s {to}
`},
	"apache": {"apache2", func(dir string) []string { return []string{"-d", dir, "-f", dir + "/config", "-DFOREGROUND"} },
		`ServerName localhost
PidFile {dir}/pid
ErrorLog {dir}/error.log
DefaultRuntimeDir {dir}
Mutex file:{dir}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
User nobody
Group nogroup
Listen 127.0.0.1:{port}
Protocols h2 http/1.1
MaxKeepAliveRequests 7
SSLEngine on
SSLCertificateFile {dir}/full.pem
SSLCertificateKeyFile {dir}/key.pem
ProxyPass / http://{to}/
`},
	"caddy": {"caddy", func(dir string) []string {
		return []string{"run", "--config", dir + "/config", "--adapter", "caddyfile"}
	},
		`{
 admin off
 auto_https off
 storage file_system {dir}
}
https://127.0.0.1:{port}, https://localhost:{port} {
 bind 127.0.0.1
 tls {dir}/full.pem {dir}/key.pem
 reverse_proxy {to}
}
`},
	"tinyproxy": {"tinyproxy", func(dir string) []string { return []string{"-d", "-c", dir + "/config"} },
		"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nAllow 127.0.0.1\n"},
	"squid": {"squid", func(dir string) []string { return []string{"-N", "-f", dir + "/config"} },
		`http_port 127.0.0.1:{port}
pid_filename {dir}/pid
cache deny all
cache_log {dir}/cache.log
access_log none
coredump_dir {dir}
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
http_access allow all
`},
	"danted": {"danted",
		func(dir string) []string { return []string{"-f", dir + "/config", "-p", dir + "/pid", "-N", "1"} },
		`logoutput: {dir}/log
internal: 127.0.0.1 port = {port}
external: lo
socksmethod: none
clientmethod: none
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
`},
}

// startFront runs a program in front of, or on the way to, a receiver, and returns host:port.
func startFront(t *testing.T, name, to string, files map[string]string) string {
	t.Helper()
	f := fronts[name]
	program, err := exec.LookPath(f.program)
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/" + f.program); err != nil {
			t.Fatalf("%v: run `make setup`", err)
		}
	}
	dir, err := os.MkdirTemp("", "front")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	addr := testkit.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	filled := strings.NewReplacer("{port}", port, "{dir}", dir, "{to}", to).Replace(f.config)
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(filled), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "out.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, f.args(dir)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "HOME=" + dir}
	child, err := testkit.StartChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Stop(15 * time.Second) }) // some end with the signal, and others with a code
	testkit.Eventually(t, 30*time.Second, name+" listens", func() bool {
		select {
		case <-child.Done():
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s ended: %s", name, text)
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// out is a client that may reach loopback, through a proxy if one is named.
func out(t *testing.T, proxy string) *egress.Client {
	t.Helper()
	rules, err := egress.ParseAllow("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	o := egress.Options{Allow: rules, Timeout: 20 * time.Second}
	if proxy != "" {
		if o.Proxy, err = url.Parse(proxy); err != nil {
			t.Fatal(err)
		}
	}
	c, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sendsAll makes requests, several at once. Each arrives, with its body.
func sendsAll(t *testing.T, c *egress.Client, receiver *testkit.Receiver, to string, settings egress.TLSSettings) {
	t.Helper()
	const requests, atOnce = 80, 8
	before := len(receiver.All())
	var sending sync.WaitGroup
	for w := range atOnce {
		sending.Go(func() {
			for i := w; i < requests; i += atOnce {
				res, err := c.Do(t.Context(), egress.Request{URL: to, Body: fmt.Appendf(nil, "%04d", i), TLS: settings,
					Header: http.Header{"Content-Type": {"application/json"}}})
				if err != nil || res.Status != http.StatusNoContent {
					t.Errorf("request %d: %d %v, tries %+v", i, res.Status, err, res.Tries)
				}
			}
		})
	}
	sending.Wait()
	seen := make(map[string]bool)
	for _, r := range receiver.All()[before:] {
		seen[string(r.Body)] = true
	}
	if len(seen) != requests {
		t.Errorf("%d of %d bodies arrived", len(seen), requests)
	}
}

// TestReceiversBehindServers sends to a receiver behind each server, by HTTP/2 where it speaks it.
func TestReceiversBehindServers(t *testing.T) {
	root := testkit.NewAuthority(t, "a private root")
	middle := root.Intermediate(t, "an authority between")
	cert, key := middle.Issue(t, "127.0.0.1", "localhost")
	full := map[string]string{"full.pem": cert + middle.PEM, "key.pem": key, "both.pem": cert + middle.PEM + key}
	settings := egress.TLSSettings{CAPEM: root.PEM}
	for _, name := range []string{"nginx", "haproxy", "apache", "caddy"} {
		t.Run(name, func(t *testing.T) {
			receiver := testkit.NewReceiver(t)
			to := strings.TrimPrefix(receiver.URL, "http://")
			addr := startFront(t, name, to, full)
			sendsAll(t, out(t, ""), receiver, "https://"+addr+"/hooks", settings)
		})
		t.Run(name+" without its intermediate", func(t *testing.T) {
			receiver := testkit.NewReceiver(t)
			addr := startFront(t, name, strings.TrimPrefix(receiver.URL, "http://"),
				map[string]string{"full.pem": cert, "key.pem": key, "both.pem": cert + key})
			_, err := out(t, "").Do(t.Context(), egress.Request{URL: "https://" + addr + "/hooks", TLS: settings})
			if err == nil || !strings.Contains(err.Error(), "an authority between") ||
				!strings.Contains(err.Error(), "full chain") {
				t.Errorf("said: %v", err)
			}
		})
	}
}

// TestEgressThroughProxies sends through each proxy to a receiver with TLS and to one without.
func TestEgressThroughProxies(t *testing.T) {
	for name, scheme := range map[string]string{"tinyproxy": "http", "squid": "http", "danted": "socks5"} {
		t.Run(name, func(t *testing.T) {
			proxy := scheme + "://" + startFront(t, name, "", nil)
			secret := testkit.NewTLSReceiver(t)
			sendsAll(t, out(t, proxy), secret, secret.URL+"/hooks", egress.TLSSettings{CAPEM: string(secret.CA())})
			plain := testkit.NewReceiver(t)
			sendsAll(t, out(t, proxy), plain, plain.URL+"/hooks", egress.TLSSettings{})
			for _, scheme := range []string{"https://", "http://"} { // where nobody is, the proxy's answer is not a receiver's
				res, err := out(t, proxy).Do(t.Context(), egress.Request{URL: scheme + testkit.FreeAddr(t) + "/hooks"})
				if err == nil || !strings.Contains(err.Error(), "egress proxy") || res.Status != 0 {
					t.Errorf("%snobody: %d %v", scheme, res.Status, err)
				}
			}
		})
	}
}
