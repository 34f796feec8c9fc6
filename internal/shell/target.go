package shell

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// target is a host as the user named it and as the network does.
type target struct {
	name string
	addr netip.Addr
}

// errnoNoName is getaddrinfo's EAI_NONAME in glibc's words.
var errnoNoName = errors.New("Name or service not known")

// lookup finds the address of a host. v4 and v6 ask for one family; neither
// takes the first there is.
func (p *program) lookup(name string, v4, v6 bool) (target, error) {
	addrs, err := p.net.LookupHost(name)
	if err != nil {
		return target{}, errnoNoName
	}
	for _, a := range addrs {
		if v4 == v6 || a.Is4() == v4 {
			return target{name, a}, nil
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return target{}, errors.New("Address family for hostname not supported")
	}
	return target{}, errnoNoName
}

// label writes an address, with the name that the user gave for it.
func (t target) label(a netip.Addr, numeric bool) string {
	if numeric || a != t.addr || t.name == a.String() {
		return a.String()
	}
	return t.name + " (" + a.String() + ")"
}

// errno is the system's error inside err, or 0.
func errno(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}

// timedOut reports whether a deadline ended the call.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// closed reports whether the socket was closed: the program is to end.
func closed(err error) bool { return errors.Is(err, net.ErrClosed) }

// strerror is the error in the words of glibc, as the tools print them.
func strerror(err error) string {
	e := errno(err)
	if text, ok := glibcErrors[e]; ok {
		return text
	}
	if e != 0 {
		return e.Error()
	}
	return err.Error()
}

var glibcErrors = map[syscall.Errno]string{
	syscall.EPERM:         "Operation not permitted",
	syscall.ENODEV:        "No such device",
	syscall.ENXIO:         "No such device or address",
	syscall.EACCES:        "Permission denied",
	syscall.EINVAL:        "Invalid argument",
	syscall.EADDRINUSE:    "Address already in use",
	syscall.EADDRNOTAVAIL: "Cannot assign requested address",
	syscall.ENETDOWN:      "Network is down",
	syscall.ENETUNREACH:   "Network is unreachable",
	syscall.EHOSTUNREACH:  "No route to host",
	syscall.EHOSTDOWN:     "Host is down",
	syscall.ECONNREFUSED:  "Connection refused",
	syscall.ECONNRESET:    "Connection reset by peer",
	syscall.EMSGSIZE:      "Message too long",
	syscall.ENOBUFS:       "No buffer space available",
	syscall.EPROTO:        "Protocol error",
	syscall.ENOPROTOOPT:   "Protocol not available",
	syscall.EOPNOTSUPP:    "Operation not supported",
}

// local is the address that the host sends from to reach addr: that of a
// connected UDP socket, as the real tools find it. from may be unset.
func (p *program) local(addr, from netip.Addr) (netip.Addr, error) {
	const anyPort = 1025 // nothing is sent there; iputils takes the same
	var bound netip.AddrPort
	if from.IsValid() {
		bound = netip.AddrPortFrom(from, 0)
	}
	network := "udp4"
	if addr.Is6() {
		network = "udp6"
	}
	c, err := p.net.DialUDP(network, bound, netip.AddrPortFrom(addr, anyPort))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
