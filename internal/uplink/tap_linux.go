package uplink

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTAP makes or opens the TAP device of that name ("" or "tap%d": the kernel
// numbers it) and returns it with its name. It goes when it is closed. It fails
// without CAP_NET_ADMIN.
func OpenTAP(name string) (Device, string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fmt.Errorf("TAP device: /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		// No packet information in front of frames; without IFF_VNET_HDR the kernel
		// completes all checksums before it hands a frame over.
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, "", fmt.Errorf("TAP device %q: %w (it takes root or CAP_NET_ADMIN)", name, err)
	}
	// Non-blocking, so os.File waits in Go's poller and Close ends a Read.
	return os.NewFile(uintptr(fd), "/dev/net/tun"), request.Name(), nil
}
