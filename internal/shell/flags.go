package shell

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// flags reads a command's flags as getopt does: short ones may be combined, and
// may stand after operands.
type flags struct {
	*pflag.FlagSet
	program *program
}

func (p *program) flags() flags {
	fs := pflag.NewFlagSet(p.command.Name, pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.SortFlags = false
	f := flags{fs, p}
	fs.BoolP("help", "h", false, "show this help")
	return f
}

// parse returns the operands. done says that the command has nothing left to do
// and ends with exit: help was asked for, or the usage was wrong. There must be
// between least and most operands.
func (f flags) parse(args []string, least, most int) (operands []string, exit int, done bool) {
	if err := f.Parse(args); err != nil {
		f.program.complain("%s", flagMessage(err))
		f.program.usage(f.program.Stderr)
		return nil, exitUsage, true
	}
	if help, _ := f.GetBool("help"); help {
		f.program.usage(f.program.Stdout)
		if all := f.FlagUsages(); all != "" {
			f.program.printf("\n%s", all)
		}
		return nil, exitOK, true
	}
	switch n := f.NArg(); {
	case n < least:
		f.program.complain("usage error: an operand is missing")
	case n > most:
		f.program.complain("usage error: %q is one operand too many", f.Arg(most))
	default:
		return f.Args(), exitOK, false
	}
	f.program.usage(f.program.Stderr)
	return nil, exitUsage, true
}

func (p *program) usage(w io.Writer) {
	fmt.Fprintln(w, strings.TrimRight("usage: "+p.command.Name+" "+p.command.Usage, " "))
}

// flagMessage says what is wrong with the flags in getopt's words.
func flagMessage(err error) string {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fmt.Sprintf("invalid option -- '%s'", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return fmt.Sprintf("unrecognized option '--%s'", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Sprintf("option requires an argument -- '%s'", missing.GetSpecifiedName())
	case errors.As(err, &invalid):
		var later *laterError
		if errors.As(err, &later) {
			return later.Error()
		}
		return fmt.Sprintf("invalid argument: '%s': %v", invalid.GetValue(), errors.Unwrap(invalid))
	}
	return err.Error()
}

// seconds is a flag's duration, written as a number of seconds.
type seconds struct {
	value    *time.Duration
	min, max float64
}

func (s seconds) String() string { return strconv.FormatFloat(s.value.Seconds(), 'g', -1, 64) }
func (s seconds) Type() string   { return "seconds" }

func (s seconds) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) {
		return errors.New("not a number of seconds")
	}
	if v < s.min || v > s.max {
		return fmt.Errorf("out of range: %g <= value <= %g", s.min, s.max)
	}
	*s.value = time.Duration(math.Round(v * float64(time.Second)))
	return nil
}

// integer is a flag's whole number within bounds.
type integer struct {
	value    *int
	min, max int
}

func (i integer) String() string { return strconv.Itoa(*i.value) }
func (i integer) Type() string   { return "number" }

func (i integer) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("not a whole number")
	}
	if v < i.min || v > i.max {
		return fmt.Errorf("out of range: %d <= value <= %d", i.min, i.max)
	}
	*i.value = v
	return nil
}

// secondsMax is a day more than anyone waits.
const secondsMax = 1e6

func (f flags) seconds(name, short string, value time.Duration, least float64, usage string) *time.Duration {
	f.VarP(seconds{&value, least, secondsMax}, name, short, usage)
	return &value
}

func (f flags) integer(name, short string, value, least, most int, usage string) *int {
	f.VarP(integer{&value, least, most}, name, short, usage)
	return &value
}

// later refuses by name a flag that the real command has.
func (f flags) later(name, short, what string) {
	v := f.VarPF(laterFlag{short, what}, name, short, "")
	v.NoOptDefVal = "yes"
	v.Hidden = true
}

type laterFlag struct{ short, what string }

type laterError struct{ laterFlag }

func (e *laterError) Error() string       { return fmt.Sprintf("-%s: %s not there yet", e.short, e.what) }
func (laterFlag) String() string          { return "" }
func (laterFlag) Type() string            { return "later" }
func (l laterFlag) Set(text string) error { return &laterError{l} }
