package tcp

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
)

// drillFile is a file descriptor of the script's program.
type drillFile struct {
	options  Options
	conn     *Conn
	listens  bool
	nonblock bool
	dialed   bool // connect has told how it went
}

// call makes a system call, which returns by high at the latest.
func (d *drill) call(e *drillEvent, high sim.Time) error {
	if d.blocked != nil {
		return fmt.Errorf("the call of line %d still blocks", d.blocked.event.line)
	}
	try, err := d.prepare(e)
	if err != nil {
		return err
	}
	d.blocked = &drillBlocked{event: e, try: try, until: high}
	if err := d.unblock(); err != nil {
		return err
	}
	if d.blocked != nil && !e.blocking {
		return errors.New("the call blocks")
	}
	return nil
}

// unblock lets the call that blocks try again, and checks what it returns.
func (d *drill) unblock() error {
	b := d.blocked
	if b == nil {
		return nil
	}
	done, result, err := b.try()
	if !done {
		return nil
	}
	d.blocked = nil
	name := fmt.Sprintf("line %d: %s", b.event.line, b.event.name)
	if b.event.line > 0 && !b.event.blocking {
		name = b.event.name
	}
	if off := d.now.Sub(b.until); off > d.script.tolerance || -off > d.script.tolerance {
		return fmt.Errorf("%s returns %v from when it should", name, off)
	}
	got, want := strconv.Itoa(result), b.event.want
	if err != nil {
		got = "-1 " + drillErrno(err)
	}
	if b.event.errIs != "" {
		want += " " + b.event.errIs
	}
	if v, ok := drillNames[want]; ok {
		want = strconv.Itoa(v)
	}
	if got != want && want != "?" {
		return fmt.Errorf("%s returns %s, want %s", name, got, want)
	}
	return nil
}

var drillErrnos = map[syscall.Errno]string{
	syscall.EAGAIN: "EAGAIN", syscall.EPIPE: "EPIPE", syscall.ECONNRESET: "ECONNRESET", syscall.ECONNREFUSED: "ECONNREFUSED",
	syscall.ETIMEDOUT: "ETIMEDOUT", syscall.ENOTCONN: "ENOTCONN", syscall.EINPROGRESS: "EINPROGRESS", syscall.EALREADY: "EALREADY",
	syscall.EISCONN: "EISCONN", syscall.EHOSTUNREACH: "EHOSTUNREACH", syscall.ENETUNREACH: "ENETUNREACH",
}

func drillErrno(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) && drillErrnos[errno] != "" {
		return drillErrnos[errno]
	}
	return err.Error()
}

// drillNames are the constants that scripts name.
var drillNames = map[string]int{
	"O_RDWR": 2, "O_NONBLOCK": 0x800, "MSG_MORE": 0x8000, "MSG_DONTWAIT": 0x40, "MSG_NOSIGNAL": 0x4000, "MSG_PEEK": 2, "MSG_TRUNC": 0x20,
	"SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2,
	"TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7,
	"TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
	"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
}

// drillNumber reads a number or names joined by |.
func drillNumber(text string) (n int, err error) {
	for part := range strings.SplitSeq(text, "|") {
		part = strings.TrimSpace(part)
		v, ok := drillNames[part]
		if !ok {
			if v, err = strconv.Atoi(part); err != nil {
				return 0, fmt.Errorf("%q is not a number or a name that is known", part)
			}
		}
		n |= v
	}
	return n, nil
}

type drillTry = func() (done bool, result int, err error)

// returns is a call that is over at once.
func returns(result int, err error) drillTry {
	return func() (bool, int, error) { return true, result, err }
}

// prepare says what a call does, each time it tries.
func (d *drill) prepare(e *drillEvent) (drillTry, error) {
	if e.name == "socket" {
		return d.socket(e)
	}
	known := strings.Contains(" bind listen accept connect read recv recvfrom write send sendto sendmsg writev shutdown close setsockopt getsockopt fcntl ioctl ", " "+e.name+" ")
	if !known {
		return nil, fmt.Errorf("%s is not supported", e.name)
	}
	n, err := strconv.Atoi(e.args[0])
	f := d.files[n]
	if err != nil || f == nil {
		return nil, fmt.Errorf("no file %s", e.args[0])
	}
	switch e.name {
	case "bind":
		return returns(0, nil), nil
	case "listen":
		return d.listen(f, e)
	case "accept":
		return d.accept(f, e)
	case "connect":
		return d.connect(f)
	case "read", "recv", "recvfrom":
		return d.read(f, e)
	case "write", "send", "sendto", "sendmsg", "writev":
		return d.write(f, e)
	case "shutdown":
		return d.shutdown(f, e)
	case "close":
		delete(d.files, n)
		return d.close(f)
	case "setsockopt":
		return returns(0, nil), d.setOption(f, e)
	case "getsockopt":
		return returns(0, nil), d.getOption(f, e)
	case "ioctl":
		return d.ioctl(f, e)
	}
	return d.fcntl(f, e)
}

func (d *drill) free() int {
	n := 3
	for d.files[n] != nil {
		n++
	}
	return n
}

func (d *drill) socket(e *drillEvent) (drillTry, error) {
	if len(e.args) != 3 || !strings.HasPrefix(e.args[1], "SOCK_STREAM") {
		return nil, fmt.Errorf("socket(%s) is not supported", strings.Join(e.args, ", "))
	}
	n := d.free()
	d.files[n] = &drillFile{nonblock: strings.Contains(e.args[1], "SOCK_NONBLOCK")}
	return returns(n, nil), nil
}

func (d *drill) listen(f *drillFile, e *drillEvent) (drillTry, error) {
	backlog, err := drillNumber(e.args[1])
	f.listens = true
	d.listener = d.machine.Listen(netip.AddrPortFrom(netip.Addr{}, drillPort), backlog, f.options, func(_ sim.Time, c *Conn) {
		d.conns = append(d.conns, c)
	})
	return returns(0, nil), err
}

func (d *drill) accept(f *drillFile, e *drillEvent) (drillTry, error) {
	if !f.listens {
		return nil, errors.New("the file does not listen")
	}
	return func() (bool, int, error) {
		c := d.listener.Accept()
		if c == nil {
			return f.nonblock, 0, syscall.EAGAIN
		}
		n := d.free()
		d.files[n] = &drillFile{conn: c, dialed: true, options: c.Options}
		return true, n, nil
	}, nil
}

func (d *drill) connect(f *drillFile) (drillTry, error) {
	first := f.conn == nil
	if first {
		route := Route{Local: netip.AddrPortFrom(drillLocal, drillPort), Remote: netip.AddrPortFrom(drillRemote, drillPort), TTL: 64}
		f.conn = d.machine.Dial(d.now, route, f.options, 1500, nil)
		d.conns = append(d.conns, f.conn)
	}
	return func() (bool, int, error) {
		switch c := f.conn; {
		case c.Established() && f.dialed:
			return true, 0, syscall.EISCONN
		case c.Established():
			f.dialed = true
			return true, 0, nil
		case c.State() == Closed:
			return true, 0, c.TakeError()
		case f.nonblock && first:
			return true, 0, syscall.EINPROGRESS
		}
		return f.nonblock, 0, syscall.EALREADY
	}, nil
}

func (d *drill) read(f *drillFile, e *drillEvent) (drillTry, error) {
	if len(e.args) < 3 {
		return nil, errors.New("read needs three arguments")
	}
	n, err := drillNumber(e.args[2])
	flags := 0
	if err == nil && len(e.args) > 3 {
		flags, err = drillNumber(e.args[3])
	}
	if err != nil {
		return nil, err
	}
	if f.conn == nil {
		return returns(0, syscall.ENOTCONN), nil
	}
	buffer := make([]byte, n)
	return func() (bool, int, error) {
		if !f.conn.Readable() {
			return f.nonblock || flags&0x40 != 0, 0, syscall.EAGAIN
		}
		if flags&2 != 0 {
			return true, f.conn.Peek(buffer), nil
		}
		k, err := f.conn.Read(d.now, buffer)
		return true, k, err
	}, nil
}

var drillVector = regexp.MustCompile(`\{\s*\.\.\.\s*,\s*(\d+)\s*\}`)

func (d *drill) write(f *drillFile, e *drillEvent) (drillTry, error) {
	size, flags := 0, 0
	var err error
	switch e.name {
	case "sendmsg", "writev":
		for _, m := range drillVector.FindAllStringSubmatch(e.args[1], -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, err
			}
			size += n
		}
	default:
		size, err = drillNumber(e.args[2])
	}
	if last := e.args[len(e.args)-1]; err == nil && (e.name == "send" || e.name == "sendmsg") {
		flags, err = drillNumber(last)
	} else if err == nil && e.name == "sendto" {
		flags, err = drillNumber(e.args[3])
	}
	if err != nil {
		return nil, err
	}
	if f.conn == nil {
		return returns(0, syscall.EPIPE), nil
	}
	done := 0
	b := make([]byte, size)
	return func() (bool, int, error) {
		k, err := f.conn.Write(d.now, b[done:], flags&0x8000 != 0)
		done += k
		switch {
		case err != nil && done == 0:
			return true, 0, err
		case done == size || err != nil:
			return true, done, nil
		case done == 0:
			return f.nonblock || flags&0x40 != 0, 0, syscall.EAGAIN
		}
		return f.nonblock || flags&0x40 != 0, done, nil
	}, nil
}

func (d *drill) shutdown(f *drillFile, e *drillEvent) (drillTry, error) {
	how, err := drillNumber(e.args[1])
	if err != nil || f.conn == nil {
		return returns(0, syscall.ENOTCONN), err
	}
	if how != 1 {
		f.conn.CloseRead(d.now)
	}
	if how != 0 {
		return returns(0, f.conn.CloseWrite(d.now)), nil
	}
	return returns(0, nil), nil
}

func (d *drill) close(f *drillFile) (drillTry, error) {
	switch {
	case f.conn != nil && f.conn.Options.Linger && f.conn.Options.LingerTime > 0:
		return nil, errors.New("close with SO_LINGER and a time is not supported")
	case f.conn != nil:
		f.conn.Close(d.now)
	case f.listens:
		d.listener.Close(d.now)
	}
	return returns(0, nil), nil
}

func (d *drill) fcntl(f *drillFile, e *drillEvent) (drillTry, error) {
	switch {
	case e.args[1] == "F_GETFL":
		if f.nonblock {
			return returns(0x802, nil), nil
		}
		return returns(2, nil), nil
	case e.args[1] == "F_SETFL" && len(e.args) == 3:
		flags, err := drillNumber(e.args[2])
		f.nonblock = flags&0x800 != 0
		return returns(0, nil), err
	}
	return nil, fmt.Errorf("fcntl %s is not supported", e.args[1])
}

func (d *drill) ioctl(f *drillFile, e *drillEvent) (drillTry, error) {
	want, err := drillNumber(strings.Trim(e.args[2], "[]"))
	if err != nil || f.conn == nil {
		return returns(0, syscall.ENOTCONN), err
	}
	info := f.conn.Info(d.now)
	got, ok := map[string]int{
		"SIOCINQ": info.ReceiveQueue, "FIONREAD": info.ReceiveQueue, "SIOCOUTQ": info.SendQueue, "SIOCOUTQNSD": info.NotSent,
	}[e.args[1]]
	switch {
	case !ok:
		return nil, fmt.Errorf("ioctl %s is not supported", e.args[1])
	case got != want:
		return nil, fmt.Errorf("%s is %d, want %d", e.args[1], got, want)
	}
	return returns(0, nil), nil
}
