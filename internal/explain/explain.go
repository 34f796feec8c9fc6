// Package explain tells a recording packet by packet, layer by layer, in words
// for people who learn what a network does.
//
// It reads events, from a capture file or a run's log, and knows formats only
// through wire.Dissect. Start reading at Writer.
package explain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/wire"
)

// Mode is how much is told.
type Mode uint8

// The modes.
const (
	Blocks  Mode = iota // a block for each event, a line for each layer
	Verbose             // and every field with its place
	Summary             // one line for each event
	JSON                // one JSON object a line
)

// Filter chooses events; its zero value takes all.
type Filter struct {
	Place    string // "h1:eth0", or "h1" for all its ports
	Protocol string // a layer's name in any case: "arp"
	Host     string // an address that stands in a field
	Number   int    // of the event, from 1
}

// Writer writes events as text.
type Writer struct {
	Out    io.Writer
	Mode   Mode
	Filter Filter

	number int
	hinted map[string]bool // each hint is given once
}

// ways say how a frame and a port met.
var ways = map[record.Kind]string{record.Sent: "outbound at", record.Received: "inbound at", record.Dropped: "dropped at"}

// Event writes one event, if the filter takes it.
func (w *Writer) Event(e record.Event, place record.Place) error {
	w.number++
	layers := wire.Dissect(e.Data)
	if !w.Filter.takes(w.number, place, layers) {
		return nil
	}
	if w.Mode == JSON {
		return w.json(e, place, layers)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %s %s %s", w.number, e.At, place, what(e))
	fmt.Fprintf(&b, ": %s\n", headline(layers))
	if w.Mode != Summary {
		w.block(&b, e, place, layers)
	}
	_, err := io.WriteString(w.Out, b.String())
	return err
}

func what(e record.Event) string {
	if e.Kind == record.Dropped {
		return "dropped (" + e.Why.String() + ")"
	}
	return e.Kind.String()
}

// headline is the summary of the highest layer that is not mere data.
func headline(layers []wire.Layer) string {
	text := "empty frame"
	for _, l := range layers {
		if !l.Quoted && (l.OSI >= 2 && l.OSI <= 4 && l.Name != "Padding") {
			text = l.Summary
		}
	}
	return text
}

var layerNames = map[int]string{2: "L2 data link", 3: "L3 network", 4: "L4 transport", 7: "L5/L6/L7 application", 0: "data"}

func (w *Writer) block(b *strings.Builder, e record.Event, place record.Place, layers []wire.Layer) {
	fmt.Fprintf(b, "  L1 physical: %s %s, %d bytes%s\n", ways[e.Kind], place, len(e.Data), onWire(len(e.Data), place.RateBitsPerSecond))
	for _, l := range layers {
		name := layerNames[l.OSI]
		if l.Quoted {
			name = "  quoted, " + name
		}
		fmt.Fprintf(b, "  %s: %s\n", name, l.Summary)
		if l.Problem != "" {
			fmt.Fprintf(b, "    problem: %s\n", l.Problem)
		}
		if hint := w.hint(l); hint != "" {
			fmt.Fprintf(b, "    hint: %s\n", hint)
		}
		if l.OSI == 7 {
			for line := range strings.Lines(hex.Dump(e.Data[l.Start:l.End])) {
				b.WriteString("    " + line)
			}
		}
		if w.Mode == Verbose {
			writeFields(b, l)
		}
	}
	b.WriteString("\n")
}

// onWire says how long the frame and its overhead occupy the line.
func onWire(bytes int, rate int64) string {
	if rate <= 0 {
		return ""
	}
	bits := 8 * (max(bytes, wire.EthernetMinLen) + wire.EthernetOverhead)
	return fmt.Sprintf(", %.2f us on the wire at %s", float64(bits)*1e6/float64(rate), bitRate(rate))
}

// bitRate is a rate as people say it.
func bitRate(rate int64) string {
	switch {
	case rate >= 1e9:
		return fmt.Sprintf("%g Gbit/s", float64(rate)/1e9)
	case rate >= 1e6:
		return fmt.Sprintf("%g Mbit/s", float64(rate)/1e6)
	}
	return fmt.Sprintf("%g kbit/s", float64(rate)/1e3)
}

func writeFields(b *strings.Builder, l wire.Layer) {
	for _, f := range l.Fields {
		fmt.Fprintf(b, "    byte %d bit %d, %d bits: %s = %s", f.Byte, f.Bit, f.Bits, f.Name, f.Value)
		if f.Note != "" {
			fmt.Fprintf(b, " (%s)", f.Note)
		}
		b.WriteString("\n")
	}
}

func (f Filter) takes(number int, place record.Place, layers []wire.Layer) bool {
	if f.Number != 0 && f.Number != number || f.Place != "" && f.Place != place.Node && f.Place != place.String() {
		return false
	}
	protocol, host := f.Protocol == "", f.Host == ""
	for _, l := range layers {
		protocol = protocol || strings.EqualFold(l.Name, f.Protocol)
		for _, field := range l.Fields {
			host = host || field.Value == f.Host && isEnd(field.Name)
		}
	}
	return protocol && host
}

// isEnd reports whether a field names who sent a packet or who is to get it.
func isEnd(name string) bool {
	for _, word := range []string{"Source", "Destination", "Sender", "Target"} {
		if strings.HasPrefix(name, word) {
			return true
		}
	}
	return false
}

// The JSON form of an event.
type (
	jsonEvent struct {
		Number int         `json:"number"`
		Nanos  int64       `json:"ns"`
		Place  string      `json:"place"`
		Kind   string      `json:"kind"`
		Why    string      `json:"why,omitempty"`
		Packet uint64      `json:"packet"`
		Bytes  int         `json:"bytes"`
		Layers []jsonLayer `json:"layers"`
	}
	jsonLayer struct {
		Name    string      `json:"name"`
		OSI     int         `json:"osi"`
		Start   int         `json:"start"`
		End     int         `json:"end"`
		Summary string      `json:"summary"`
		Problem string      `json:"problem,omitempty"`
		Quoted  bool        `json:"quoted,omitempty"`
		Fields  []jsonField `json:"fields"`
	}
	jsonField struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		Note  string `json:"note,omitempty"`
		Byte  int    `json:"byte"`
		Bit   int    `json:"bit"`
		Bits  int    `json:"bits"`
	}
)

func (w *Writer) json(e record.Event, place record.Place, layers []wire.Layer) error {
	line := jsonEvent{
		Number: w.number, Nanos: int64(e.At), Place: place.String(), Kind: e.Kind.String(), Packet: e.Packet, Bytes: len(e.Data),
		Layers: make([]jsonLayer, 0, len(layers)),
	}
	if e.Kind == record.Dropped {
		line.Why = e.Why.String()
	}
	for _, l := range layers {
		j := jsonLayer{Name: l.Name, OSI: l.OSI, Start: l.Start, End: l.End, Summary: l.Summary, Problem: l.Problem, Quoted: l.Quoted}
		for _, f := range l.Fields {
			j.Fields = append(j.Fields, jsonField(f))
		}
		line.Layers = append(line.Layers, j)
	}
	return json.NewEncoder(w.Out).Encode(line)
}

// Capture writes all events of a capture file.
func (w *Writer) Capture(path string) error {
	c, err := record.OpenCapture(path)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		e, err := c.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.Event(e, c.Places()[e.Place]); err != nil {
			return err
		}
	}
}
