package testkit

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// do speaks just enough of the Redis protocol (RESP2) to run one command, so that this package needs no Redis client.
func (s *RedisServer) do(command ...string) (any, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	if s.opts.User != "" {
		if _, err := ask(conn, in, "AUTH", s.opts.User, s.opts.Password); err != nil {
			return nil, err
		}
	}
	return ask(conn, in, command...)
}

func (s *RedisServer) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if s.opts.TLS != nil {
		return tls.DialWithDialer(&d, "tcp", s.Addr, s.opts.TLS)
	}
	return d.Dial("tcp", s.Addr)
}

func ask(out io.Writer, in *bufio.Reader, command ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, arg := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return nil, err
	}
	answer, err := readRESP(in)
	if err != nil {
		return nil, err
	}
	if err, ok := answer.(error); ok {
		return nil, err
	}
	return answer, nil
}

// readRESP reads one value. A Redis error is returned as a value of type error, so that one inside an array loses
// nothing.
func readRESP(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("empty line from redis")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return errors.New(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		buf := make([]byte, n+2)
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, err
		}
		return string(buf[:n]), nil
	case '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			if list[i], err = readRESP(r); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("redis answered with %q", line)
}
