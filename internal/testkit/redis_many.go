package testkit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RedisSetup says what several servers that belong together are like. The zero value has neither users nor TLS.
type RedisSetup struct {
	// Users are lines of an ACL file, as `ACL SETUSER` takes them: "gateway on >secret ~* +ping". One named admin, with
	// all rights and the password [RedisAdminPassword], is added, and the default user is turned off.
	Users []string
	// Watchers are the same for the sentinels.
	Watchers []string
	// Certs makes every connection one of TLS, for which clients need a certificate too.
	Certs *RedisCerts
}

// RedisAdminPassword is that of the user admin.
const RedisAdminPassword = "admin-of-the-tests"

// options are those of one server.
func (s RedisSetup) options(t TB, users []string) RedisOptions {
	t.Helper()
	var o RedisOptions
	if len(users) > 0 {
		file := filepath.Join(t.TempDir(), "users.acl")
		lines := append([]string{"default off", "admin on >" + RedisAdminPassword + " ~* &* +@all"}, users...)
		if err := os.WriteFile(file, []byte("user "+strings.Join(lines, "\nuser ")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o.User, o.Password = "admin", RedisAdminPassword
		o.Args = append(o.Args, "--aclfile", file)
	}
	if s.Certs != nil {
		o.TLS = s.Certs.Client
		o.Args = append(o.Args, s.Certs.serverArgs()...)
	}
	return o
}

// replication are the arguments with which servers of a setup read from each other.
func (s RedisSetup) replication(o RedisOptions) []string {
	if o.User == "" {
		return nil
	}
	return []string{"--masteruser", o.User, "--masterauth", o.Password}
}

// RedisSentinels are a master, two replicas, and three sentinels that watch them under the name main.
type RedisSentinels struct {
	Servers  []*RedisServer // the first one is the master at the start
	Watchers []*RedisServer
}

// NewRedisSentinels starts them and waits until each sentinel knows all others and both replicas.
func NewRedisSentinels(t TB, setup RedisSetup) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{}
	for i := range 3 {
		o := setup.options(t, setup.Users)
		o.Args = append(o.Args, setup.replication(o)...)
		o.Args = append(o.Args, "--repl-diskless-sync-delay", "0", "--repl-timeout", "5")
		if i > 0 {
			host, port, _ := net.SplitHostPort(s.Servers[0].Addr)
			o.Args = append(o.Args, "--replicaof", host+" "+port)
		}
		s.Servers = append(s.Servers, Redis(t, o))
	}
	for range 3 {
		o := setup.options(t, setup.Watchers)
		o.Sentinel = true
		o.Config = filepath.Join(t.TempDir(), "sentinel.conf")
		if err := os.WriteFile(o.Config, []byte(s.config(setup)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Watchers = append(s.Watchers, Redis(t, o))
	}
	for _, w := range s.Watchers {
		Eventually(t, time.Minute, "a sentinel knows the others", func() bool {
			peers, err := w.do("SENTINEL", "SENTINELS", "main")
			replicas, err2 := w.do("SENTINEL", "REPLICAS", "main")
			return err == nil && err2 == nil && length(peers) == 2 && length(replicas) == 2
		})
	}
	return s
}

func length(answer any) int {
	list, _ := answer.([]any)
	return len(list)
}

// config is the file of a sentinel. A master is down after a second.
func (s *RedisSentinels) config(setup RedisSetup) string {
	host, port, _ := net.SplitHostPort(s.Servers[0].Addr)
	lines := []string{"sentinel monitor main " + host + " " + port + " 2", "sentinel down-after-milliseconds main 1000",
		"sentinel failover-timeout main 6000", "sentinel parallel-syncs main 2"}
	if len(setup.Users) > 0 {
		lines = append(lines, "sentinel auth-user main admin", "sentinel auth-pass main "+RedisAdminPassword)
	}
	if len(setup.Watchers) > 0 {
		lines = append(lines, "sentinel sentinel-user admin", "sentinel sentinel-pass "+RedisAdminPassword)
	}
	return strings.Join(lines, "\n") + "\n"
}

// Master is the server that the sentinels call the master.
func (s *RedisSentinels) Master(t TB) *RedisServer {
	t.Helper()
	answer, _ := s.Watchers[0].Do(t, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").([]any)
	for _, server := range s.Servers {
		if len(answer) == 2 && server.Addr == net.JoinHostPort(fmt.Sprint(answer[0]), fmt.Sprint(answer[1])) {
			return server
		}
	}
	t.Fatalf("testkit: the sentinels name %v", answer)
	return nil
}

// Addrs are those of the sentinels, with commas between.
func (s *RedisSentinels) Addrs() string { return addrs(s.Watchers) }

func addrs(servers []*RedisServer) string {
	list := make([]string, len(servers))
	for i, s := range servers {
		list[i] = s.Addr
	}
	return strings.Join(list, ",")
}

// RedisNodes is a cluster: three masters, then a replica of each in the same order.
type RedisNodes []*RedisServer

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// NewRedisCluster starts six nodes and waits until each takes the cluster for whole.
func NewRedisCluster(t TB, setup RedisSetup) RedisNodes {
	t.Helper()
	var c RedisNodes
	buses := make(map[*RedisServer]string)
	for range 2 * clusterMasters {
		bus, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		o := setup.options(t, setup.Users)
		o.Args = append(o.Args, setup.replication(o)...)
		o.Args = append(o.Args, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout",
			"2000", "--repl-diskless-sync-delay", "0", "--cluster-announce-ip", "127.0.0.1")
		node := Redis(t, o)
		buses[node] = strconv.Itoa(bus)
		c = append(c, node)
	}
	for i, node := range c[:clusterMasters] {
		node.Do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*clusterSlots/clusterMasters),
			strconv.Itoa((i+1)*clusterSlots/clusterMasters-1))
		node.Do(t, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range c[1:] {
		host, port, _ := net.SplitHostPort(node.Addr)
		c[0].Do(t, "CLUSTER", "MEET", host, port, buses[node])
	}
	all := func(want string) func() bool {
		return func() bool {
			for _, node := range c {
				if info, err := node.do("CLUSTER", "INFO"); err != nil || !strings.Contains(fmt.Sprint(info), want) {
					return false
				}
			}
			return true
		}
	}
	Eventually(t, time.Minute, "every node knows all others", all(fmt.Sprintf("cluster_known_nodes:%d\r", len(c))))
	for i, replica := range c[clusterMasters:] {
		master := fmt.Sprint(c[i].Do(t, "CLUSTER", "MYID"))
		Eventually(t, time.Minute, "a replica follows its master", func() bool {
			_, err := replica.do("CLUSTER", "REPLICATE", master)
			return err == nil
		})
	}
	Eventually(t, time.Minute, "the cluster is whole", all("cluster_state:ok"))
	c.waitForReplicas(t)
	return c
}

func (c RedisNodes) waitForReplicas(t TB) {
	t.Helper()
	for _, master := range c[:clusterMasters] {
		Eventually(t, time.Minute, "each master has its replica", func() bool {
			info, err := master.do("INFO", "replication")
			return err == nil && strings.Contains(fmt.Sprint(info), "state=online")
		})
		master.Flush(t) // a replica that has replicated nothing yet is shown to nobody
	}
	for _, node := range c {
		Eventually(t, time.Minute, "each node shows all replicas", func() bool {
			slots, err := node.do("CLUSTER", "SLOTS")
			for _, replica := range c[clusterMasters:] {
				_, port, _ := net.SplitHostPort(replica.Addr)
				err = errors.Join(err, found(slots, port))
			}
			return err == nil
		})
	}
}

func found(answer any, what string) error {
	if !strings.Contains(fmt.Sprint(answer), what) {
		return fmt.Errorf("no %s", what)
	}
	return nil
}

// Addrs are those of all nodes, with commas between.
func (c RedisNodes) Addrs() string { return addrs(c) }

// RedisCerts is a private authority with a certificate for servers on 127.0.0.1 and localhost, and one for clients.
type RedisCerts struct {
	CA, Cert, Key string // PEM: of the authority, and of the client
	Client        *tls.Config
	dir           string
}

// serverArgs make a server speak TLS alone, with clients, replicas and the other nodes of a cluster.
func (c *RedisCerts) serverArgs() []string {
	file := func(name string) string { return filepath.Join(c.dir, name) }
	return []string{"--tls-cert-file", file("server.pem"), "--tls-key-file", file("server.key"), "--tls-ca-cert-file",
		file("ca.pem"), "--tls-client-cert-file", file("client.pem"), "--tls-client-key-file", file("client.key"),
		"--tls-auth-clients", "yes", "--tls-replication", "yes", "--tls-cluster", "yes"}
}

// NewRedisServer starts one server of a setup.
func NewRedisServer(t TB, setup RedisSetup) *RedisServer {
	t.Helper()
	o := setup.options(t, setup.Users)
	o.AppendOnly = true
	return Redis(t, o)
}

// Denied is what the server has logged about rights that a user lacked: the commands, keys and channels. A server that
// is down tells nothing.
func (s *RedisServer) Denied(t TB, user string) []string {
	t.Helper()
	if !s.proc.alive() {
		return nil
	}
	entries, _ := s.Do(t, "ACL", "LOG").([]any)
	var list []string
	for _, entry := range entries {
		fields, _ := entry.([]any)
		told := make(map[string]string)
		for i := 0; i+1 < len(fields); i += 2 {
			told[fmt.Sprint(fields[i])] = fmt.Sprint(fields[i+1])
		}
		if told["username"] == user {
			list = append(list, told["reason"]+" "+told["object"])
		}
	}
	return list
}
