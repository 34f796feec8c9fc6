package tcp

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

var drillLinger = regexp.MustCompile(`^\{\s*(?:l_)?onoff\s*=\s*(\d+)\s*,\s*(?:l_)?linger\s*=\s*(\d+)\s*\}$`)

// options are those that setsockopt changes.
func (f *drillFile) settings() *Options {
	if f.conn != nil {
		return &f.conn.Options
	}
	return &f.options
}

// setOption is setsockopt. A listener's options pass on to what it accepts.
func (d *drill) setOption(f *drillFile, e *drillEvent) error {
	if len(e.args) != 5 {
		return fmt.Errorf("setsockopt has %d arguments, want 5", len(e.args))
	}
	o := f.settings()
	switch name, value := e.args[2], strings.Trim(e.args[3], "[]"); name {
	case "SO_LINGER":
		m := drillLinger.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf("%q is not a linger", value)
		}
		seconds, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		o.Linger, o.LingerTime = m[1] != "0", sim.Duration(seconds)*time.Second
	case "TCP_CONGESTION":
		o.Congestion = strings.Trim(value, `"`)
		if !slices.Contains(Algorithms, o.Congestion) {
			return fmt.Errorf("congestion control %s is not supported", o.Congestion)
		}
		if f.conn != nil {
			f.conn.congestion = newCongestion(o.Congestion)
		}
	default:
		n, err := drillNumber(value)
		if err != nil {
			return err
		}
		if err := setDrillOption(o, name, n); err != nil {
			return err
		}
	}
	if f.conn != nil {
		f.conn.Touch(d.now)
	}
	if f.listens {
		d.listener.Options = *o
	}
	return nil
}

func setDrillOption(o *Options, name string, n int) error {
	switch name {
	case "SO_REUSEADDR", "SO_REUSEPORT":
	case "TCP_NODELAY":
		o.NoDelay = n != 0
	case "TCP_CORK":
		o.Cork = n != 0
	case "SO_KEEPALIVE":
		o.KeepAlive = n != 0
	case "TCP_KEEPIDLE":
		o.KeepaliveIdle = sim.Duration(n) * time.Second
	case "TCP_KEEPINTVL":
		o.KeepaliveInterval = sim.Duration(n) * time.Second
	case "TCP_KEEPCNT":
		o.KeepaliveProbes = n
	case "TCP_USER_TIMEOUT":
		o.UserTimeout = sim.Duration(n) * time.Millisecond
	case "TCP_LINGER2":
		o.Linger2 = sim.Duration(n) * time.Second
	case "TCP_MAXSEG":
		o.MaxSegment = n
	case "TCP_SYNCNT":
		o.SynRetries = n
	case "TCP_WINDOW_CLAMP":
		o.WindowClamp = n
	case "TCP_NOTSENT_LOWAT":
		o.NotsentLowat = n
	case "SO_SNDBUF": // the kernel doubles what it is asked for
		o.SendBuffer = 2 * n
	case "SO_RCVBUF":
		o.ReceiveBuffer = 2 * n
	case "SO_RCVLOWAT":
		o.ReceiveLowat = n
	case "TCP_DEFER_ACCEPT":
		o.DeferAccept = sim.Duration(n) * time.Second
	default:
		return fmt.Errorf("option %s is not supported", name)
	}
	return nil
}

// getOption is getsockopt, which must give what the script says.
func (d *drill) getOption(f *drillFile, e *drillEvent) error {
	if len(e.args) != 5 {
		return fmt.Errorf("getsockopt has %d arguments, want 5", len(e.args))
	}
	o := f.settings()
	flag := map[bool]string{true: "1", false: "0"}
	got, want := "", strings.Trim(e.args[3], "[]")
	switch e.args[2] {
	case "SO_ERROR":
		got = "0"
		if f.conn != nil {
			if err := f.conn.TakeError(); err != nil {
				got = drillErrno(err)
				if number, ok := err.(syscall.Errno); ok && want == strconv.Itoa(int(number)) {
					want = got
				}
			}
		}
	case "TCP_NODELAY":
		got = flag[o.NoDelay]
	case "TCP_CORK":
		got = flag[o.Cork]
	case "SO_KEEPALIVE":
		got = flag[o.KeepAlive]
	case "TCP_MAXSEG":
		got = strconv.Itoa(mssDefault)
		if f.conn != nil {
			got = strconv.Itoa(f.conn.Info(d.now).SendMSS)
		}
	default:
		return fmt.Errorf("option %s is not supported", e.args[2])
	}
	if got != want {
		return fmt.Errorf("%s is %s, want %s", e.args[2], got, want)
	}
	return nil
}

// drillInfo are the fields of struct tcp_info by name.
func drillInfo(i Info) map[string]int {
	us := func(d sim.Duration) int { return int(d / 1000) }
	ms := func(d sim.Duration) int { return int(d / 1e6) }
	return map[string]int{
		"tcpi_state": int(i.State), "tcpi_ca_state": slices.Index(caNames[:], i.CAState), "tcpi_retransmits": i.Retransmits,
		"tcpi_probes": i.Probes, "tcpi_backoff": i.Backoff, "tcpi_rto": us(i.RTO), "tcpi_ato": us(i.ATO), "tcpi_snd_mss": i.SendMSS,
		"tcpi_rcv_mss": i.ReceiveMSS, "tcpi_advmss": i.AdvMSS, "tcpi_unacked": i.Unacked, "tcpi_sacked": i.Sacked, "tcpi_lost": i.Lost,
		"tcpi_retrans": i.Retrans, "tcpi_pmtu": i.PathMTU, "tcpi_rtt": us(i.RTT), "tcpi_rttvar": us(i.RTTVar), "tcpi_min_rtt": us(i.MinRTT),
		"tcpi_snd_ssthresh": i.Ssthresh, "tcpi_snd_cwnd": i.Cwnd, "tcpi_cwnd": i.Cwnd, "tcpi_reordering": i.Reordering,
		"tcpi_total_retrans": i.TotalRetrans, "tcpi_delivered": i.Delivered, "tcpi_delivered_ce": i.DeliveredCE,
		"tcpi_bytes_acked": int(i.BytesAcked), "tcpi_bytes_received": int(i.BytesReceived), "tcpi_bytes_retrans": int(i.BytesRetrans),
		"tcpi_notsent_bytes": i.NotSent, "tcpi_dsack_dups": i.DSACKs, "tcpi_reord_seen": i.ReorderSeen,
		"tcpi_snd_wscale": i.SendScale, "tcpi_rcv_wscale": i.ReceiveScale, "tcpi_snd_wnd": i.SendWindow, "tcpi_rcv_ssthresh": i.ReceiveSsthresh,
		"tcpi_last_data_sent": ms(i.LastDataSent), "tcpi_last_data_recv": ms(i.LastDataReceived), "tcpi_last_ack_recv": ms(i.LastAckReceived),
	}
}

// code runs %{ assert ... }% on the tcp_info of the latest connection.
func (d *drill) code(text string) error {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		line = strings.TrimSpace(line)
		condition, ok := strings.CutPrefix(line, "assert ")
		switch {
		case line == "":
			continue
		case !ok:
			return fmt.Errorf("%q is not supported: only assert", line)
		case len(d.conns) == 0:
			return fmt.Errorf("no connection for %q", line)
		}
		r := drillReader{words: drillWord.FindAllString(condition, -1), values: drillInfo(d.conns[len(d.conns)-1].Info(d.now))}
		v := r.either()
		if r.err == nil && r.next() != "" && r.next() != "," {
			r.err = fmt.Errorf("%q is not understood at %q", condition, r.next())
		}
		if r.err != nil {
			return r.err
		}
		if v == 0 {
			return fmt.Errorf("%s does not hold: %s", condition, strings.Join(r.seen, ", "))
		}
	}
	return nil
}

var drillWord = regexp.MustCompile(`\w+|==|!=|<=|>=|\S`)

// drillReader evaluates what Python would of an assertion: whole numbers, fields,
// arithmetic, comparisons, and, or, not.
type drillReader struct {
	words  []string
	values map[string]int
	seen   []string
	err    error
}

func (r *drillReader) next() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

func (r *drillReader) take(words ...string) string {
	if w := r.next(); w != "" && slices.Contains(words, w) {
		r.words = r.words[1:]
		return w
	}
	return ""
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *drillReader) either() int {
	v := r.both()
	for r.take("or") != "" {
		w := r.both()
		v = truth(v != 0 || w != 0)
	}
	return v
}

func (r *drillReader) both() int {
	v := r.compare()
	for r.take("and") != "" {
		w := r.compare()
		v = truth(v != 0 && w != 0)
	}
	return v
}

func (r *drillReader) compare() int {
	if r.take("not") != "" {
		return truth(r.compare() == 0)
	}
	v := r.sum()
	switch op := r.take("==", "!=", "<", "<=", ">", ">="); op {
	case "":
		return v
	default:
		w := r.sum()
		return truth(map[string]bool{"==": v == w, "!=": v != w, "<": v < w, "<=": v <= w, ">": v > w, ">=": v >= w}[op])
	}
}

func (r *drillReader) sum() int {
	v := r.product()
	for {
		switch r.take("+", "-") {
		case "+":
			v += r.product()
		case "-":
			v -= r.product()
		default:
			return v
		}
	}
}

func (r *drillReader) product() int {
	v := r.value()
	for {
		switch r.take("*", "%", "&") {
		case "*":
			v *= r.value()
		case "%":
			v %= max(r.value(), 1)
		case "&":
			v &= r.value()
		default:
			return v
		}
	}
}

func (r *drillReader) value() int {
	if r.take("(") != "" {
		v := r.either()
		if r.take(")") == "" && r.err == nil {
			r.err = fmt.Errorf("no ) before %q", r.next())
		}
		return v
	}
	w := r.next()
	if w != "" {
		r.words = r.words[1:]
	}
	if v, ok := r.values[w]; ok {
		r.seen = append(r.seen, fmt.Sprintf("%s is %d", w, v))
		return v
	}
	v, err := drillNumber(w)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

// setDrillSysctl is the command sysctl -w, with one or more settings.
func setDrillSysctl(k *Sysctl, text string) error {
	for word := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case word == "sysctl" || word == "-q" || word == "-w" || word == "-qw" || word == ";" || word == "&&":
			continue
		case !ok:
			return fmt.Errorf("only sysctl may be called, not %q", word)
		}
		n, err := strconv.Atoi(strings.TrimSuffix(value, ";"))
		if err != nil && name != "net.ipv4.tcp_congestion_control" {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !setDrillSetting(k, strings.TrimPrefix(name, "net.ipv4.tcp_"), value, n) {
			return fmt.Errorf("%s is not supported", name)
		}
	}
	return nil
}

func setDrillSetting(k *Sysctl, name, value string, n int) bool {
	seconds := sim.Duration(n) * time.Second
	flags := map[string]*bool{
		"window_scaling": &k.WindowScaling, "timestamps": &k.Timestamps, "sack": &k.SACK, "dsack": &k.DSACK,
		"abort_on_overflow": &k.AbortOnOverflow, "rfc1337": &k.RFC1337, "slow_start_after_idle": &k.SlowStartAfterIdle, "moderate_rcvbuf": &k.ModerateRcvbuf,
	}
	numbers := map[string]*int{
		"ecn": &k.ECN, "syn_retries": &k.SynRetries, "syn_linear_timeouts": &k.SynLinearTimeouts, "synack_retries": &k.SynAckRetries,
		"syncookies": &k.SynCookies, "retries1": &k.Retries1, "retries2": &k.Retries2, "orphan_retries": &k.OrphanRetries, "tw_reuse": &k.TwReuse,
		"keepalive_probes": &k.KeepaliveProbes, "recovery": &k.Recovery, "early_retrans": &k.EarlyRetrans, "frto": &k.FRTO, "reordering": &k.Reordering,
		"max_reordering": &k.MaxReordering, "challenge_ack_limit": &k.ChallengeAckLimit, "notsent_lowat": &k.NotsentLowat, "comp_sack_nr": &k.CompSackCount,
		"max_syn_backlog": &k.MaxSynBacklog, "min_snd_mss": &k.MinSndMSS,
	}
	times := map[string]*sim.Duration{"fin_timeout": &k.FinTimeout, "keepalive_time": &k.KeepaliveTime, "keepalive_intvl": &k.KeepaliveInterval}
	switch {
	case flags[name] != nil:
		*flags[name] = n != 0
	case numbers[name] != nil:
		*numbers[name] = n
	case times[name] != nil:
		*times[name] = seconds
	case name == "invalid_ratelimit":
		k.InvalidRateLimit = sim.Duration(n) * time.Millisecond
	case name == "comp_sack_delay_ns":
		k.CompSackDelay = sim.Duration(n)
	case name == "rto_min_us":
		k.RTOMin = sim.Duration(n) * time.Microsecond
	case name == "rto_max_ms":
		k.RTOMax = sim.Duration(n) * time.Millisecond
	case name == "congestion_control":
		k.Congestion = value
		return slices.Contains(Algorithms, value)
	default:
		return false
	}
	return true
}
