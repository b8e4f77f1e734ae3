package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
)

// socks asks a SOCKS5 proxy (RFC 1928, user and password by RFC 1929) for a connection to an address.
func socks(c io.ReadWriter, user *url.Userinfo, to netip.AddrPort) error {
	method := byte(0)
	if user != nil {
		method = 2
	}
	if _, err := c.Write([]byte{5, 1, method}); err != nil {
		return err
	}
	var chosen [2]byte
	if _, err := io.ReadFull(c, chosen[:]); err != nil {
		return err
	}
	if chosen[0] != 5 {
		return errors.New("the proxy does not speak SOCKS5")
	}
	if chosen[1] != method {
		return errSocksLogin
	}
	if user != nil {
		if err := socksLogin(c, user); err != nil {
			return err
		}
	}
	kind := byte(4)
	if to.Addr().Is4() {
		kind = 1
	}
	ask := append([]byte{5, 1, 0, kind}, to.Addr().AsSlice()...)
	if _, err := c.Write(binary.BigEndian.AppendUint16(ask, to.Port())); err != nil {
		return err
	}
	return socksAnswer(c)
}

var errSocksLogin = errors.New("the proxy refused user and password")

func socksLogin(c io.ReadWriter, user *url.Userinfo) error {
	name := user.Username()
	password, _ := user.Password()
	if len(name) == 0 || len(name) > 255 || len(password) == 0 || len(password) > 255 {
		return errSocksLogin
	}
	ask := append([]byte{1, byte(len(name))}, name...)
	ask = append(append(ask, byte(len(password))), password...)
	if _, err := c.Write(ask); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return errSocksLogin
	}
	return nil
}

// socksAnswer reads the proxy's answer with the address that it is bound to, and not one byte more.
func socksAnswer(c io.Reader) error {
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if head[1] != 0 {
		return socksStatus(head[1])
	}
	rest := map[byte]int{1: 4 - 1 + 2, 3: int(head[4]) + 2, 4: 16 - 1 + 2}[head[3]]
	if rest == 0 {
		return errors.New("the proxy does not speak SOCKS5")
	}
	_, err := io.ReadFull(c, make([]byte, rest))
	return err
}

// socksStatus is what a SOCKS5 proxy says instead of connecting.
type socksStatus byte

func (s socksStatus) Error() string {
	const last = 8
	words := [last + 1]string{1: "it failed", 2: "it does not allow this address or port", 3: "network unreachable",
		4: "host unreachable", 5: "connection refused", 6: "TTL expired", 7: "it knows no CONNECT",
		8: "it knows no such address"}
	if s > last {
		return fmt.Sprintf("SOCKS5 answered %d", byte(s))
	}
	return words[s]
}
