package lab

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/sim"
)

// measure is a kind of quantity: what its units are worth, and how the error
// for a bare number shows its two readings.
type measure struct {
	name    string
	units   map[string]float64 // worth of each unit as people write it
	shown   []string           // those that messages offer, the most usual first
	fold    bool               // units are the same in upper and lower case
	example string
}

var durations = measure{
	name: "time", example: "10ms", fold: true, shown: []string{"ms", "s", "us", "ns", "m", "h"},
	units: map[string]float64{
		"ns": 1, "nsec": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "usec": 1e3, "ms": 1e6, "msec": 1e6, "s": 1e9, "sec": 1e9, "secs": 1e9,
		"m": 60e9, "min": 60e9, "mins": 60e9, "h": 3600e9, "hour": 3600e9, "hours": 3600e9, "d": 86400e9,
	},
}

// rates have tc's names, where k is 1000 and ki is 1024. tc reads bps as bytes
// a second, and nearly everybody else as bits: bits it is, and B/s is bytes.
var rates = measure{name: "rate", example: "100mbit", shown: []string{"mbit", "gbit", "kbit", "bit"}, units: rateUnits()}

func rateUnits() map[string]float64 {
	units := map[string]float64{}
	for i, prefix := range []string{"", "k", "m", "g", "t"} {
		decimal, binary := math.Pow(1000, float64(i)), math.Pow(1024, float64(i))
		for _, p := range []string{prefix, strings.ToUpper(prefix)} {
			for _, word := range []string{"bit", "Bit", "bits", "bit/s", "bits/s", "bps", "b/s"} {
				units[p+word] = decimal
				if prefix != "" {
					units[p+"i"+word] = binary
				}
			}
			units[p+"B/s"], units[p+"Bps"] = 8*decimal, 8*decimal
			if prefix != "" {
				units[p+"iB/s"] = 8 * binary
			}
		}
	}
	return units
}

var sizes = measure{
	name: "size", example: "64KiB", fold: true, shown: []string{"B", "KiB", "MiB"},
	units: map[string]float64{
		"b": 1, "byte": 1, "bytes": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	},
}

var frequencies = measure{
	name: "frequency", example: "10/s", fold: true, shown: []string{"/s", "/min"},
	units: map[string]float64{"/s": 1, "/sec": 1, "/ms": 1000, "/m": 1. / 60, "/min": 1. / 60, "/h": 1. / 3600, "hz": 1, "pps": 1},
}

var shares = measure{name: "share", example: "1%", shown: []string{"%"}, units: map[string]float64{"%": 0.01}}

var queues = measure{
	name: "queue", example: "100p", fold: true, shown: []string{"p", "KiB"},
	units: map[string]float64{"p": 1, "packet": 1, "packets": 1, "pkt": 1, "pkts": 1},
}

// split parts a number from its unit.
func split(s string) (number float64, unit string, ok bool) {
	s = strings.TrimSpace(s)
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '-' && r != '+' && r != '_' })
	if end < 0 {
		end = len(s)
	}
	number, err := strconv.ParseFloat(strings.ReplaceAll(s[:end], "_", ""), 64)
	return number, strings.TrimSpace(s[end:]), err == nil
}

// worth finds a unit, and says how it is written where it is near to one.
func (m measure) worth(unit string) (float64, bool) {
	if m.fold {
		unit = strings.ToLower(unit)
	}
	w, ok := m.units[unit]
	return w, ok
}

// parse reads a quantity into the measure's smallest unit.
func (m measure) parse(s string) (float64, *diag.Message) {
	fail := func(format string, args ...any) (float64, *diag.Message) {
		return 0, &diag.Message{Text: fmt.Sprintf(format, args...)}
	}
	number, unit, ok := split(s)
	switch {
	case !ok:
		return fail("%q is not a %s: want a number and a unit, as in %s", s, m.name, m.example)
	case number == 0 && unit == "":
		return 0, nil // the same in every unit
	case number < 0:
		return fail("a %s cannot be negative: %s", m.name, s)
	case unit == "":
		return 0, m.bare(s)
	}
	w, known := m.worth(unit)
	if !known {
		_, err := fail("%q: unknown unit %q for a %s; want one of %s", s, unit, m.name, strings.Join(m.shown, ", "))
		if near := diag.Nearest(unit, m.shown); near != "" {
			err.Suggestion = plain(number) + near
		}
		return 0, err
	}
	return number * w, nil
}

// bare is the error for a number without a unit, with its two readings.
func (m measure) bare(s string) *diag.Message {
	if m.name == "share" {
		number, _, _ := split(s)
		if number <= 1 {
			return &diag.Message{Text: fmt.Sprintf("%s needs a unit: is it %s%% or %s%% (%s of all)?", s, s, plain(number*100), s)}
		}
		return &diag.Message{Text: fmt.Sprintf("%s needs a unit: want %s%%", s, s)}
	}
	return &diag.Message{Text: fmt.Sprintf("%s needs a unit: is it %s%s or %s%s?", s, s, m.shown[0], s, m.shown[1])}
}

// plain writes a number without an exponent or needless zeros.
func plain(f float64) string {
	return strconv.FormatFloat(math.Round(f*1e9)/1e9, 'f', -1, 64)
}

// ParseDuration reads a time as lab files write it: 10ms, 1.5s, 2m, 1m30s.
func ParseDuration(s string) (sim.Duration, error) {
	d, m := parseDuration(s)
	if m != nil {
		return 0, m
	}
	return d, nil
}

func parseDuration(s string) (sim.Duration, *diag.Message) {
	total, rest := 0.0, strings.TrimSpace(s)
	for first := true; first || rest != ""; first = false {
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != ' ' && r != '-' && r != '+' })
		if end < 0 {
			end = len(rest)
		}
		if next := strings.IndexAny(rest[end:], "0123456789"); next >= 0 {
			end += next
		} else {
			end = len(rest)
		}
		if !first && end == len(rest) && strings.Trim(rest, "0123456789.") == "" {
			return 0, durations.bare(rest)
		}
		part, err := durations.parse(rest[:end])
		if err != nil {
			if end < len(rest) || !first {
				err.Text = fmt.Sprintf("%q is not a time: want a number and a unit, as in 10ms or 1m30s", s)
			}
			return 0, err
		}
		total, rest = total+part, rest[end:]
	}
	if total > 365*86400e9 {
		return 0, &diag.Message{Text: fmt.Sprintf("%s is longer than a year", s)}
	}
	return sim.Duration(math.Round(total)), nil
}

// parseRate reads a rate in bits a second.
func parseRate(s string) (Rate, *diag.Message) {
	bits, err := rates.parse(s)
	switch {
	case err != nil:
		return 0, err
	case bits > 1e15:
		return 0, &diag.Message{Text: fmt.Sprintf("%s is more than 1000 tbit", s)}
	case bits > 0 && bits < 1:
		return 0, &diag.Message{Text: fmt.Sprintf("%s is less than a bit a second", s)}
	}
	return Rate(math.Round(bits)), nil
}

func parseProbability(s string) (Probability, *diag.Message) {
	p, err := shares.parse(s)
	if err == nil && p > 1 {
		err = &diag.Message{Text: fmt.Sprintf("%s is more than 100%%", s)}
	}
	return Probability(p), err
}

func parseBytes(s string) (Bytes, *diag.Message) {
	b, err := sizes.parse(s)
	if err == nil && b > 1<<40 {
		err = &diag.Message{Text: fmt.Sprintf("%s is more than 1024 GiB", s)}
	}
	return Bytes(b), err
}

func parseFrequency(s string) (Frequency, *diag.Message) {
	f, err := frequencies.parse(s)
	if err == nil && f > 1e9 {
		err = &diag.Message{Text: fmt.Sprintf("%s is more than once a nanosecond", s)}
	}
	return Frequency(f), err
}

// parseQueue reads a limit in packets (100p) or in bytes (64KiB).
func parseQueue(s string) (Queue, *diag.Message) {
	_, unit, _ := split(s)
	if _, ok := sizes.worth(unit); ok {
		b, err := parseBytes(s)
		return Queue{Bytes: int(b)}, err
	}
	p, err := queues.parse(s)
	if err == nil && p > 1<<30 {
		err = &diag.Message{Text: fmt.Sprintf("%s is more than %d packets", s, 1<<30)}
	}
	return Queue{Packets: int(p)}, err
}

// String writes the rate as tc does.
func (r Rate) String() string {
	for i, unit := range []string{"gbit", "mbit", "kbit"} {
		if w := []Rate{1e9, 1e6, 1e3}[i]; r >= w && r%(w/1000) == 0 {
			return plain(float64(r)/float64(w)) + unit
		}
	}
	return strconv.FormatInt(int64(r), 10) + "bit"
}

// String writes the probability in percent.
func (p Probability) String() string { return plain(float64(p)*100) + "%" }

// String writes the queue's limits.
func (q Queue) String() string {
	switch {
	case q.Bytes == 0:
		return fmt.Sprintf("%dp", q.Packets)
	case q.Bytes%1024 == 0:
		return fmt.Sprintf("%dKiB", q.Bytes/1024)
	}
	return fmt.Sprintf("%dB", q.Bytes)
}
