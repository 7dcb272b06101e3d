package guard_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"importer"
	"importer/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, s := range strings.Fields(`
		0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.9.9.9
		168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1
		192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
		:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1
		64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::a00:1 100::1 100:0:0:1::1
		2001::1 2001:0:7f00:1::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 3fff::1 5f00::1
		fc00::1 fdaa:0:1::3 fd00:ec2::254 fd20:ce::254 fe80::1 fec0::1 febf::1 ff02::1 4000::1 e000::1`) {
		if guard.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is allowed", s)
		}
	}
	for _, s := range strings.Fields(`
		1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 168.63.129.15 169.253.0.1 172.15.0.1 172.32.0.1 192.0.1.1
		198.17.255.255 198.20.0.1 223.255.255.255 ::ffff:8.8.8.8
		2001:4860:4860::8888 2606:4700::1111 2a09:8280:1::1 2620:fe::fe`) {
		if !guard.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, ip := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("2606:4700::1111%x")} {
		if guard.Public(ip) {
			t.Errorf("%v is allowed", ip)
		}
	}
}

// inside is a server that nobody must reach.
type inside struct {
	port string
	hits atomic.Int32
}

func newInside(t *testing.T) *inside {
	in := &inside{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		in.hits.Add(1)
		_, _ = io.WriteString(w, "a secret of the inside")
	}))
	t.Cleanup(s.Close)
	_, in.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return in
}

func guarded(t *testing.T, o guard.Options) *http.Client {
	tr := guard.Transport(o)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// post reports what became of a request, and whether it got an answer.
func post(c *http.Client, url string) (reached bool, err error) {
	resp, err := c.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return true, nil
}

// TestRebinding has a name that is public when somebody looks first, and
// 127.0.0.1 when the connection is made.
func TestRebinding(t *testing.T) {
	t.Parallel()
	in := newInside(t)
	rebinding := func() *net.Resolver {
		return nameServer(t, func(_ string, nth int) []netip.Addr {
			if nth == 1 {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		})
	}
	// Looking first, as one would: the attack has to work, or the test proves nothing.
	resolver := rebinding()
	ips, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
	if err != nil || len(ips) != 1 || !guard.Public(ips[0]) {
		t.Fatalf("the first answer is %v, %v", ips, err)
	}
	naive := &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
	defer naive.CloseIdleConnections()
	if reached, err := post(&http.Client{Transport: naive}, "http://rebind.example:"+in.port); !reached || in.hits.Load() != 1 {
		t.Fatalf("the attack does not work: %v", err)
	}

	resolver = rebinding()
	if _, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example"); err != nil {
		t.Fatal(err)
	}
	reached, err := post(guarded(t, guard.Options{Resolver: resolver}), "http://rebind.example:"+in.port)
	if reached || !errors.Is(err, importer.ErrBlocked) || in.hits.Load() != 1 {
		t.Errorf("got %v, %v, want %v", reached, err, importer.ErrBlocked)
	}
}

func TestNamesAndSpellings(t *testing.T) {
	t.Parallel()
	in := newInside(t)
	names := map[string]string{
		"v4.example": "127.0.0.1", "v6.example": "::1", "mapped.example": "::ffff:127.0.0.1", "nat64.example": "64:ff9b::7f00:1",
		"metadata.example": "169.254.169.254", "zero.example": "0.0.0.0", "carrier.example": "100.64.0.1", "unique.example": "fdaa::3",
	}
	resolver := nameServer(t, func(name string, _ int) []netip.Addr {
		if name == "mixed.example" {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00::1")}
		}
		ip, err := netip.ParseAddr(names[name])
		if err != nil {
			return nil
		}
		return []netip.Addr{ip}
	})
	c := guarded(t, guard.Options{Resolver: resolver})
	blocked := []string{"mixed.example", "127.0.0.1", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "[fe80::1%25lo]", "[64:ff9b::a9fe:a9fe]"}
	for name := range names {
		blocked = append(blocked, name)
	}
	for _, host := range blocked {
		if reached, err := post(c, "http://"+host+":"+in.port); reached || !errors.Is(err, importer.ErrBlocked) {
			t.Errorf("%s: %v, %v, want %v", host, reached, err, importer.ErrBlocked)
		}
	}
	// Other ways to write 127.0.0.1: refused, as a name or when dialling.
	for _, host := range []string{"127.1", "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.0.0.1.", "①②⑦.⓪.⓪.①", "localhost"} {
		if reached, _ := post(c, "http://"+host+":"+in.port); reached {
			t.Errorf("%s was reached", host)
		}
	}
	// The system's resolver knows localhost.
	if reached, err := post(guarded(t, guard.Options{}), "http://localhost:"+in.port); reached || !errors.Is(err, importer.ErrBlocked) {
		t.Errorf("localhost: %v, %v", reached, err)
	}
	if n := in.hits.Load(); n != 0 {
		t.Errorf("the inside was reached %d times", n)
	}
	if reached, err := post(guarded(t, guard.Options{AllowPrivate: true}), "http://localhost:"+in.port); !reached {
		t.Errorf("for development: %v", err)
	}
}

// TestProxyOfTheEnvironment is not used: it would be the only address checked.
func TestProxyOfTheEnvironment(t *testing.T) {
	in := newInside(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:"+in.port)
	}
	c := guarded(t, guard.Options{AllowPrivate: true})
	// Discarded by everybody, so nothing is sent anywhere (RFC 5737).
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://192.0.2.1:"+in.port, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := c.Do(req); err == nil {
		resp.Body.Close()
		t.Error("it got an answer")
	}
	if in.hits.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

// nameServer answers queries with answer(name, nth query of that name).
func nameServer(t *testing.T, answer func(name string, nth int) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	t.Cleanup(func() {
		conn.Close()
		served.Wait()
	})
	served.Go(func() {
		asked := map[string]int{}
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
			if q.Type == dnsmessage.TypeA {
				asked[name]++
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			for _, ip := range answer(name, asked[name]) {
				h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
				switch {
				case ip.Is4() && q.Type == dnsmessage.TypeA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
				case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
