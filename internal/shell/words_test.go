package shell

import (
	"reflect"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{"  \t ", nil},
		{"ping -c3 h2", []string{"ping", "-c3", "h2"}},
		{`echo 'a  b' "c d"`, []string{"echo", "a  b", "c d"}},
		{`echo a'b'"c"\ d`, []string{"echo", "abc d"}},
		{`echo '' ""`, []string{"echo", "", ""}},
		{`echo '$x | "y"'`, []string{"echo", `$x | "y"`}},
		{`echo "\"\\\$\n"`, []string{"echo", `"\$\n`}},
		{`echo \|\>`, []string{"echo", "|>"}},
		{`echo a#b http://h/?a=b*`, []string{"echo", "a#b", "http://h/?a=b*"}},
	} {
		if got, err := Words(c.line); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Words(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
}

func TestWordsRefusesByName(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"ping h2 | wc", `column 9: pipes are not there yet; quote the "|" if it belongs to a word`},
		{"echo a > f", `column 8: redirection is not there yet; quote the ">" if it belongs to a word`},
		{"echo $HOME", `column 6: variables are not there yet; quote the "$" if it belongs to a word`},
		{`echo "$HOME"`, `column 7: variables are not there yet; quote the "$" if it belongs to a word`},
		{"ping h2 &", `column 9: background commands are not there yet; quote the "&" if it belongs to a word`},
		{"true; false", `column 5: lists of commands are not there yet; quote the ";" if it belongs to a word`},
		{"echo a # b", `column 8: comments are not there yet; quote the # if it belongs to a word`},
		{"echo 'a", `column 6: this ' is never closed`},
		{`echo "a`, `column 6: this " is never closed`},
		{`echo a\`, `column 7: nothing follows the \; write \\ for a backslash`},
	} {
		if _, err := Words(c.line); err == nil || err.Error() != c.want {
			t.Errorf("Words(%q): %v\nwant %s", c.line, err, c.want)
		}
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		line string
		exit int
		want string
	}{
		{"pnig h2", 127, "sh: pnig: command not found; did you mean ping?\n"},
		{"xyzzy", 127, "sh: xyzzy: command not found\n"},
		{"echo |", 2, "sh: column 6: pipes are not there yet; quote the \"|\" if it belongs to a word\n"},
		{"true", 0, ""},
		{"false", 1, ""},
		{"", 0, ""},
		{"echo -n a 'b  c'", 0, "a b  c"},
		{"ping", 2, "ping: usage error: an operand is missing\n"},
		{"ping -Z h2", 2, "ping: invalid option -- 'Z'\n"},
		{"ping -c", 2, "ping: option requires an argument -- 'c'\n"},
		{"ping -c 0 h2", 2, "ping: invalid argument: '0': out of range: 1 <= value <= 1099511627776\n"},
		{"ping -c x h2", 2, "ping: invalid argument: 'x': not a whole number\n"},
		{"ping -i x h2", 2, "ping: invalid argument: 'x': not a number of seconds\n"},
		{"ping -f h2", 2, "ping: -f: flood ping is not there yet\n"},
		{"ping -nqf h2", 2, "ping: -f: flood ping is not there yet\n"},
		{"ping -M maybe h2", 2, "ping: invalid -M argument: maybe; it takes do, want or dont\n"},
		{"ping -p xyz h2", 2, "ping: patterns must be specified as hex digits\n"},
		{"ping -46 h2", 2, "ping: only one -4 or -6 option may be specified\n"},
		{"ping h2 h3", 2, "ping: usage error: \"h3\" is one operand too many\n"},
		{"nc -u -l -z 7", 1, "nc: cannot use -z and -l\n"},
		{"nc -u h2", 1, "nc: a port is missing\n"},
		{"nc -u h2 http", 1, "nc: port number invalid: \"http\"; it takes 1 to 65535\n"},
		{"sleep 3x", 1, "sleep: invalid time interval '3x'; it takes seconds, or a number with s, m, h or d\n"},
		{"ip adress", 1, "ip: Object \"adress\" is unknown, did you mean address?\n"},
		{"ip addr add 10.0.0.1/8", 1, "ip: address add is not there yet; only show is\n"},
		{"help pong", 1, "help: no command \"pong\"; did you mean ping?\n"},
	} {
		var out strings.Builder
		exit := Run(nil, Streams{Stdout: &out, Stderr: &out}, c.line)
		got, _, _ := strings.Cut(out.String(), "usage: ")
		if exit != c.exit || got != c.want {
			t.Errorf("%s: exit %d, %q\nwant exit %d, %q", c.line, exit, got, c.exit, c.want)
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range Commands() {
		if c.Name == "true" || c.Name == "false" {
			continue
		}
		var out strings.Builder
		if exit := Run(nil, Streams{Stdout: &out, Stderr: &out}, c.Name+" --help"); exit != 0 || !strings.HasPrefix(out.String(), "usage: "+c.Name) {
			t.Errorf("%s --help: exit %d, %q", c.Name, exit, out.String())
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add(`echo 'a' "b\"" \c`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Words(line)
		if err != nil {
			return
		}
		// What was read, quoted, reads the same again.
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := Words(strings.Join(quoted, " "))
		if err != nil || !reflect.DeepEqual(again, words) {
			t.Errorf("%q: %q, then %q, %v", line, words, again, err)
		}
	})
}
