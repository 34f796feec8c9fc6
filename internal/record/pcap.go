package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hopyard/hopyard/internal/wire"
)

// Epoch is the wall-clock time of a run's start in captures, as the bubble of
// virtual time has it.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// filesMax is up to how many places each gets a file of its own when no choice
// was made: every file stays open, and a process may have 1024 as a rule.
const filesMax = 64

// AllName is the name of the file with all interfaces.
const AllName = "all.pcapng"

// PcapWriter writes captures into a folder: all.pcapng with one interface for
// each place, where a frame appears as it leaves and as it arrives, and one
// file for each place (h1-eth0.pcapng) with what `tcpdump -i` there would see.
// With more than 64 places, and none chosen, only all.pcapng is written. Files
// are created at the first frame. A drop is a comment on the frame's record.
type PcapWriter struct {
	dir    string
	chosen map[string]bool // names of places; nil = all
	places []Place
	all    *capture
	own    map[int]*capture // by place
	err    error            // the first failure; nothing is written after it
}

// NewPcapWriter makes the folder. Only the places named in chosen
// ("h1:eth0", or "h1" for all of h1) are written; none means all.
func NewPcapWriter(dir string, chosen ...string) (*PcapWriter, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("captures: %w", err)
	}
	w := &PcapWriter{dir: dir, own: map[int]*capture{}}
	for _, name := range chosen {
		if w.chosen == nil {
			w.chosen = map[string]bool{}
		}
		w.chosen[name] = true
	}
	w.all = newCapture(filepath.Join(dir, AllName))
	return w, nil
}

// AddPlace implements Sink.
func (w *PcapWriter) AddPlace(number int, p Place) { w.places = append(w.places, p) }

// Event implements Sink.
func (w *PcapWriter) Event(e Event) {
	p := w.places[e.Place]
	if w.err != nil || w.chosen != nil && !w.chosen[p.Node] && !w.chosen[p.String()] {
		return
	}
	w.err = w.all.event(e, p)
	if w.err != nil || w.chosen == nil && len(w.places) > filesMax {
		return
	}
	own := w.own[e.Place]
	if own == nil {
		own = newCapture(filepath.Join(w.dir, FileName(p)))
		w.own[e.Place] = own
	}
	w.err = own.event(e, p)
}

// FileName is the name of a place's own capture: h1-eth0.pcapng.
func FileName(p Place) string {
	clean := func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}
	return strings.Map(clean, p.String()) + ".pcapng"
}

// Close implements Sink: it writes what is held back and returns the first
// failure, which names the file.
func (w *PcapWriter) Close() error {
	err := errors.Join(w.err, w.all.close())
	for place := range w.places {
		if own := w.own[place]; own != nil {
			err = errors.Join(err, own.close())
		}
	}
	return err
}

// capture is one file. It holds the latest records back, because a drop that
// follows at the same place becomes a comment: an ICMP error about the packet, say,
// comes between the two.
type capture struct {
	path       string
	file       *os.File
	buffer     *bufio.Writer
	writer     *pcapgo.NgWriter
	interfaces map[int]int     // by place
	held       [heldMax]record // a ring
	first      int
	waiting    int
}

type record struct {
	Event
	comment string
}

// heldMax is how many records wait, and among how many a drop finds its own.
const heldMax = 64

func newCapture(path string) *capture { return &capture{path: path, interfaces: map[int]int{}} }

// event takes one event, and writes the oldest that waits if there are many.
func (c *capture) event(e Event, p Place) error {
	if e.Kind == Dropped {
		for i := c.waiting - 1; i >= 0; i-- {
			h := c.at(i)
			if h.Place != e.Place || h.Packet != e.Packet {
				continue
			}
			if h.comment != "" {
				break // that was another copy's
			}
			h.comment = comment(e.Why)
			return nil
		}
	}
	if c.waiting == heldMax {
		if err := c.flush(heldMax - 1); err != nil {
			return err
		}
	}
	if err := c.addInterface(e.Place, p); err != nil {
		return c.failed(err)
	}
	h := c.at(c.waiting)
	c.waiting++
	data := append(h.Data[:0], e.Data...) // in the storage of a record that was written
	*h = record{Event: e}
	h.Data = data
	if e.Kind == Dropped {
		h.comment = comment(e.Why)
	}
	return nil
}

func (c *capture) at(i int) *record { return &c.held[(c.first+i)%heldMax] }

const commentPrefix = "dropped: "

func comment(why wire.Drop) string { return commentPrefix + why.String() }

// addInterface opens the file at the first place and describes each once.
func (c *capture) addInterface(place int, p Place) error {
	if _, known := c.interfaces[place]; known {
		return nil
	}
	about := pcapgo.NgInterface{Name: p.String(), Description: describe(p), LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}
	c.interfaces[place] = len(c.interfaces)
	if c.writer != nil {
		_, err := c.writer.AddInterface(about)
		return err
	}
	var err error
	if c.file, err = os.Create(c.path); err != nil {
		return err
	}
	c.buffer = bufio.NewWriterSize(c.file, 64<<10)
	// Not this machine's names: the same run gives the same file everywhere.
	section := pcapgo.NgSectionInfo{Hardware: "hopyard", OS: "hopyard", Application: "hopyard"}
	c.writer, err = pcapgo.NewNgWriterInterface(io.Writer(c.buffer), about, pcapgo.NgWriterOptions{SectionInfo: section})
	return err
}

// describe puts into words what the library has no options for.
func describe(p Place) string {
	text := "node " + p.Node
	if p.Port != "" {
		text = fmt.Sprintf("port %s of %s", p.Port, p.Node)
	}
	if p.MAC != (wire.MAC{}) {
		text += ", MAC " + p.MAC.String()
	}
	if p.RateBitsPerSecond > 0 {
		text += fmt.Sprintf(", %d bit/s", p.RateBitsPerSecond)
	}
	return text
}

// flush writes the oldest records until so many wait.
func (c *capture) flush(keep int) error {
	for c.waiting > keep {
		if err := c.write(c.at(0)); err != nil {
			return c.failed(err)
		}
		c.first = (c.first + 1) % heldMax
		c.waiting--
	}
	return nil
}

func (c *capture) write(r *record) error {
	options := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{}, PacketID: &r.Packet}
	switch r.Kind {
	case Sent:
		options.Flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
	case Received:
		options.Flags.Direction = pcapgo.NgEpbFlagDirectionInbound
	}
	if r.comment != "" {
		options.Comments = []string{r.comment}
	}
	info := gopacket.CaptureInfo{
		Timestamp:      Epoch.Add(time.Duration(r.At)),
		CaptureLength:  len(r.Data),
		Length:         len(r.Data),
		InterfaceIndex: c.interfaces[r.Place],
	}
	return c.writer.WritePacketWithOptions(info, r.Data, options)
}

func (c *capture) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("capture %s: %w", c.path, err)
}

func (c *capture) close() error {
	if c.file == nil {
		return nil
	}
	err := c.flush(0)
	if err == nil && c.writer != nil {
		err = c.failed(c.writer.Flush())
	}
	if err == nil {
		err = c.failed(c.buffer.Flush())
	}
	closed := c.failed(c.file.Close())
	c.file = nil
	return errors.Join(err, closed)
}
