package guard

import "net/netip"

// unicast6 is what is allocated of IPv6 for global unicast
// (https://www.iana.org/assignments/ipv6-unicast-address-assignments). All
// else is refused, and with it loopback, link-local and unique local
// addresses (RFC 4193), and those that hold an IPv4 address: mapped, translated
// (RFC 6052, RFC 7915) or compatible.
var unicast6 = netip.MustParsePrefix("2000::/3")

// reserved is what is not public of the rest
// (https://www.iana.org/assignments/iana-ipv4-special-registry, and -ipv6-).
var reserved = prefixes(
	"2001::/23",     // protocol assignments: Teredo, ORCHID, benchmarking
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4 holds any IPv4 address
	"3fff::/20",     // documentation

	"0.0.0.0/8",        // this host
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by carriers; Tailscale; metadata of Alibaba Cloud
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // a public address that is Azure's metadata
	"169.254.0.0/16",   // link-local; metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; metadata of Oracle Cloud
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
)

// Public reports whether an address is one of the public internet.
func Public(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	if ip.Is6() && !unicast6.Contains(ip) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, s := range list {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}
