// Package gvisor holds tests with gVisor's netstack as the peer of a host's TCP,
// in this process, exchanging Ethernet frames over a link of a lab.
//
// It is a module of its own, so that users of hopyard never inherit gVisor. Time is
// virtual for both: gVisor's clock is the kernel's, and the kernel goes on only when
// no goroutine of gVisor has anything left to do (see peer_test.go).
package gvisor
