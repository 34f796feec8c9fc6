package hopyard_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/hopyard/hopyard"
)

// exchange runs a server on web and a client on client, until the server returns.
func exchange(server, client func(c net.Conn)) {
	lab := hopyard.MustParse(twoLANs)
	err := lab.Play(context.Background(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		l, err := n.Host("web").Listen("tcp", ":9")
		if err != nil {
			return err
		}
		go func() {
			c, err := n.Host("client").Dial(n.Context(), "tcp", "web:9")
			if err == nil {
				client(c)
			}
		}()
		c, err := l.Accept()
		if err == nil {
			server(c)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

// Three writes are not three reads: TCP carries a stream, and knows nothing of
// messages. With Nagle's algorithm the second and the third wait for the
// acknowledgement of the first, and arrive stuck together.
func Example_stickyPackets() {
	exchange(func(c net.Conn) {
		b := make([]byte, 100)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			fmt.Printf("read %q\n", b[:n])
		}
	}, func(c net.Conn) {
		c.(interface{ SetNoDelay(bool) error }).SetNoDelay(false) // package net turns Nagle off
		for _, message := range []string{"one", "two", "three"} {
			c.Write([]byte(message))
		}
		c.Close()
	})
	// Output:
	// read "one"
	// read "twothree"
}

// The cure: say how long each message is.
func Example_framingByLength() {
	exchange(func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			var length uint16
			if err := binary.Read(r, binary.BigEndian, &length); err != nil {
				return
			}
			message := make([]byte, length)
			if _, err := io.ReadFull(r, message); err != nil {
				return
			}
			fmt.Printf("message %q\n", message)
		}
	}, func(c net.Conn) {
		c.(interface{ SetNoDelay(bool) error }).SetNoDelay(false)
		for _, message := range []string{"one", "two", "three"} {
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
		}
		c.Close()
	})
	// Output:
	// message "one"
	// message "two"
	// message "three"
}

// A receiver that reads slowly makes the sender wait: the window closes, the
// sender probes it, and nothing is lost.
func Example_flowControl() {
	const size = 4 << 20
	exchange(func(c net.Conn) {
		time.Sleep(20 * time.Second)
		n, err := io.Copy(io.Discard, c)
		fmt.Println("read", n, err)
	}, func(c net.Conn) {
		started := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			i, _ := hopyard.Info(c)
			fmt.Printf("after 10s: the peer offers %d bytes, timer: %s\n", i.SendWindow, i.Timer)
		}()
		c.Write(make([]byte, size))
		fmt.Println("the last byte went in after 20s:", time.Since(started) > 20*time.Second)
		c.Close()
	})
	// Output:
	// after 10s: the peer offers 0 bytes, timer: persist
	// the last byte went in after 20s: true
	// read 4194304 <nil>
}
