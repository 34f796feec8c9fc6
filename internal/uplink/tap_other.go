//go:build !linux

package uplink

import (
	"errors"
	"runtime"
)

// OpenTAP opens a TAP device, which only Linux has.
func OpenTAP(string) (Device, string, error) {
	return nil, "", errors.New("TAP devices are Linux's; this is " + runtime.GOOS)
}
