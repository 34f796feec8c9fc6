// Package judge holds live labs against the Linux kernel: tests in which a lab
// and a network namespace are neighbours on one LAN, joined by a TAP device, and
// the ordinary Linux tools must find nothing odd about the lab's machines.
//
// It has tests alone. They need root; start reading at newPeer.
package judge
