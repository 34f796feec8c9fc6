package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Capture reads a capture file as a stream of events. In a file that hopyard
// did not write, times count from the first packet and all packets count as
// received unless the file says that they went out.
type Capture struct {
	path   string
	file   *os.File
	ng     *pcapgo.NgReader
	old    *pcapgo.Reader
	places []Place
	first  time.Time // what time 0 is; zero until known
	queued *Event    // the drop that a comment told of
	number uint64
}

// OpenCapture opens a pcapng or classic pcap file of Ethernet frames.
func OpenCapture(path string) (*Capture, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &Capture{path: path, file: file}
	if err := c.start(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Capture) start() error {
	r := bufio.NewReader(c.file)
	magic, err := r.Peek(4)
	if err != nil {
		return errors.New("not a capture: the file has fewer than 4 bytes")
	}
	if string(magic) != "\x0a\x0d\x0d\x0a" {
		c.old, err = pcapgo.NewReader(r)
		if err != nil {
			return fmt.Errorf("neither pcapng nor pcap: %w", err)
		}
		c.places = []Place{{Node: "capture"}}
		if c.old.LinkType() != layers.LinkTypeEthernet {
			return fmt.Errorf("frames are %s, want Ethernet", c.old.LinkType())
		}
		return nil
	}
	c.ng, err = pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err == nil && c.ng.SectionInfo().Application == "hopyard" {
		c.first = Epoch
	}
	return err
}

// Places are the places seen so far, by number.
func (c *Capture) Places() []Place { return c.places }

// Next returns the next event, or io.EOF after the last. Its Data stays valid.
func (c *Capture) Next() (Event, error) {
	if e := c.queued; e != nil {
		c.queued = nil
		return *e, nil
	}
	var data []byte
	var info gopacket.CaptureInfo
	var options pcapgo.NgPacketOptions
	var err error
	if c.old != nil {
		data, info, err = c.old.ReadPacketData()
	} else {
		data, info, options, err = c.ng.ReadPacketDataWithOptions()
	}
	if err == io.EOF {
		return Event{}, io.EOF
	}
	c.number++
	if err != nil {
		return Event{}, fmt.Errorf("%s: packet %d: %w", c.path, c.number, err)
	}
	return c.event(data, info, options)
}

func (c *Capture) event(data []byte, info gopacket.CaptureInfo, options pcapgo.NgPacketOptions) (Event, error) {
	if c.ng != nil {
		if err := c.learnPlaces(info.InterfaceIndex); err != nil {
			return Event{}, fmt.Errorf("%s: packet %d: %w", c.path, c.number, err)
		}
	}
	if c.first.IsZero() {
		c.first = info.Timestamp
	}
	e := Event{At: sim.Time(info.Timestamp.Sub(c.first)), Kind: Received, Place: info.InterfaceIndex, Packet: c.number, Data: data}
	if options.PacketID != nil {
		e.Packet = *options.PacketID
	}
	direction := pcapgo.NgEpbFlagDirectionUnknown
	if options.Flags != nil {
		direction = options.Flags.Direction
	}
	if direction == pcapgo.NgEpbFlagDirectionOutbound {
		e.Kind = Sent
	}
	if why := reason(options.Comments); why != wire.NotDropped {
		dropped := e
		dropped.Kind, dropped.Why = Dropped, why
		if direction == pcapgo.NgEpbFlagDirectionUnknown {
			return dropped, nil
		}
		c.queued = &dropped
	}
	return e, nil
}

// learnPlaces takes over the interfaces up to and with number.
func (c *Capture) learnPlaces(number int) error {
	for i := len(c.places); i <= number; i++ {
		about, err := c.ng.Interface(i)
		if err != nil {
			return err
		}
		if about.LinkType != layers.LinkTypeEthernet {
			return fmt.Errorf("frames of interface %d are %s, want Ethernet", i, about.LinkType)
		}
		name := about.Name
		if name == "" {
			name = fmt.Sprintf("interface %d", i)
		}
		node, port, _ := strings.Cut(name, ":")
		c.places = append(c.places, Place{Node: node, Port: port, RateBitsPerSecond: rateOf(about.Description)})
	}
	return nil
}

// rateOf finds the rate in what describe wrote; 0 in what another wrote.
func rateOf(description string) (rate int64) {
	if i := strings.LastIndex(description, ", "); i >= 0 {
		if n, err := fmt.Sscanf(description[i+2:], "%d bit/s", &rate); n != 1 || err != nil {
			return 0
		}
	}
	return rate
}

// reason finds a drop reason among a packet's comments.
func reason(comments []string) wire.Drop {
	for _, text := range comments {
		if text, ok := strings.CutPrefix(text, commentPrefix); ok {
			for why := wire.Drop(1); why.Known(); why++ {
				if why.String() == text {
					return why
				}
			}
		}
	}
	return wire.NotDropped
}

// Close closes the file.
func (c *Capture) Close() error { return c.file.Close() }
