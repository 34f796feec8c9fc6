package stack

// UDPSockets lists the sockets that have a port, by port.
func (s *Stack) UDPSockets() []*UDP {
	if s.ports == nil {
		return nil
	}
	all := make([]*UDP, 0, len(s.ports.udp))
	for _, b := range s.ports.udp {
		all = append(all, b.socket)
	}
	return all
}

// Queued is how many bytes wait to be read.
func (e *endpoint) Queued() int { return int(e.queued) }

// IsV6 reports whether the socket is of IPv6.
func (e *endpoint) IsV6() bool { return e.v6 }
