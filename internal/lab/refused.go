package lab

import (
	"fmt"
	"reflect"
	"slices"
)

// What a lab file may name and hopyard cannot do is refused by its name: never
// skipped in silence, and never called unknown.

// refused says for a type which words are known and what keeps them out.
var refused = map[reflect.Type][]refusedWords{
	reflect.TypeFor[Node](): {
		{notYet, []string{"cpu", "memory", "stp", "nginx", "haproxy", "keepalived", "ipvs", "iptables", "nft", "zones", "hosts", "dns", "dhcp", "vlan", "vlans", "bonds", "bridge", "files"}},
		{noContainers, []string{
			"image", "startup-config", "startup-delay", "binds", "env", "env-files", "exec", "entrypoint", "mgmt-ipv4", "mgmt-ipv6", "ports",
			"license", "user", "network-mode", "runtime", "labels", "sysctls-file", "enforce-startup-config", "auto-remove", "certificate", "healthcheck", "image-pull-policy", "cap-add", "devices", "shm-size",
		}},
	},
	reflect.TypeFor[Lab]():       {{noContainers, []string{"mgmt", "prefix", "kinds", "settings", "debug", "provider"}}, {notYet, []string{"plugin", "module", "vlans", "vrfs", "addressing"}}},
	reflect.TypeFor[Kind]():      {{notYet, []string{"firewall", "nat", "loadbalancer", "proxy", "server", "uplink", "internet"}}},
	reflect.TypeFor[Service]():   {{notYet, []string{"http", "https", "dns", "dhcp", "ftp", "smtp", "snmp", "ssh", "telnet", "ntp", "proxy", "cache", "tftp", "syslog"}}},
	reflect.TypeFor[Routing]():   {{notYet, []string{"ospf", "rip", "bgp", "isis", "eigrp"}}},
	reflect.TypeFor[Load]():      {{notYet, []string{"http", "https", "tcp", "dns", "ftp", "smtp"}}},
	reflect.TypeFor[Event]():     {{notYet, []string{"node", "cmd", "move", "partition", "kill", "pause", "reboot"}}},
	reflect.TypeFor[RouteType](): {{notYet, []string{"local", "broadcast", "multicast", "throw", "anycast"}}},
	reflect.TypeFor[Link]():      {{notYet, []string{"vars", "labels", "type", "vlan", "bond", "distribution", "ecn", "slot"}}},
}

type refusedWords struct {
	why   string
	words []string
}

const (
	notYet       = "%s is not there yet"
	noContainers = "%s is not for hopyard, which runs no containers: its nodes are simulated"
)

// refusal says why a word is refused where a type is wanted, or "".
func refusal(t reflect.Type, word string) string {
	if t == reflect.TypeFor[Group]() {
		t = reflect.TypeFor[Node]()
	}
	for _, list := range refused[t] {
		if slices.Contains(list.words, word) {
			return fmt.Sprintf(list.why, nounOfWord(t, word))
		}
	}
	return ""
}

func nounOfWord(t reflect.Type, word string) string {
	switch t {
	case reflect.TypeFor[Kind]():
		return "kind: " + word
	case reflect.TypeFor[Service]():
		return "services: " + word
	case reflect.TypeFor[Routing]():
		return "routing: " + word
	case reflect.TypeFor[RouteType]():
		return "type: " + word
	case reflect.TypeFor[Load]():
		return "load: " + word
	}
	return fmt.Sprintf("%q", word)
}

// nouns are what messages call the types.
var nouns = map[reflect.Type]string{
	reflect.TypeFor[Lab]():         "a lab",
	reflect.TypeFor[Defaults]():    "defaults",
	reflect.TypeFor[Pools]():       "pools",
	reflect.TypeFor[Group]():       "a group",
	reflect.TypeFor[Node]():        "a node",
	reflect.TypeFor[Route]():       "a route",
	reflect.TypeFor[Service]():     "a service",
	reflect.TypeFor[Link]():        "a link",
	reflect.TypeFor[Impairments](): "a link's settings",
	reflect.TypeFor[Loss]():        "loss",
	reflect.TypeFor[Run]():         "an item of run",
	reflect.TypeFor[Expect]():      "expect",
	reflect.TypeFor[Load]():        "load",
	reflect.TypeFor[Event]():       "an event",
	reflect.TypeFor[Capture]():     "capture",
	reflect.TypeFor[Check]():       "a check",
}

func noun(t reflect.Type) string {
	if n := nouns[t]; n != "" {
		return n
	}
	return t.Name()
}
