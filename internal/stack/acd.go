package stack

import "github.com/hopyard/hopyard/internal/sim"

// conflict is the detection of an IPv4 address conflict (RFC 5227).
type conflict struct{ timer sim.Timer }

func (s *Stack) startDetection(now sim.Time, a *Address) {}
func (s *Stack) stopDetection(a *Address)                {}
