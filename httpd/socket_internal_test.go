package httpd

import (
	"net/http"
	"testing"
	"time"
)

func TestNetworkOfAClient(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.7:1234":             "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1":       "192.0.2.7/32",
		"127.0.0.1:80":               "127.0.0.1/32",
		"[::1]:80":                   "::1/128",
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":         "fe80::/64",
		"@":                          "::1/128", // a socket of this machine
		"":                           "::1/128",
	} {
		if got := network(addressOf(&http.Request{RemoteAddr: remote}, "")).String(); got != want {
			t.Errorf("%q: got %s, want %s", remote, got, want)
		}
	}
}

// Strangers have a limit each; this machine has its own.
func TestDoorCountsClients(t *testing.T) {
	t.Parallel()
	d := newDoor(SocketOptions{Conns: 6, PerClient: 2, PerLoopback: 3}.withDefaults())
	a, b, local := "192.0.2.1/32", "192.0.2.2/32", "127.0.0.1/32"
	for i, step := range []struct {
		client string
		leave  bool
		want   int
	}{
		{"a", false, 0}, {"a", false, 0}, {"a", false, 4504},
		{"local", false, 0}, {"local", false, 0}, {"local", false, 0}, {"local", false, 4504},
		{"a", true, 0}, {"a", false, 0},
		{"b", false, 0}, {"b", false, 4004},
	} {
		client := a
		switch step.client {
		case "b":
			client = b
		case "local":
			client = local
		}
		if step.leave {
			d.leave(client)
			continue
		}
		if code, _ := d.enter(client, client == local); int(code) != step.want {
			t.Errorf("step %d (%s): got %d, want %d", i+1, step.client, code, step.want)
		}
	}
	for range 3 {
		d.leave(local)
	}
	d.leave(a)
	d.leave(a)
	d.leave(b)
	if len(d.clients) != 0 || d.inside != 0 {
		t.Errorf("got %d clients and %d connections when all have left", len(d.clients), d.inside)
	}
}

func TestFirstBeat(t *testing.T) {
	t.Parallel()
	const ping = 20 * time.Second
	least, most := ping, time.Duration(0)
	for range 1000 {
		d := firstBeat(ping)
		least, most = min(least, d), max(most, d)
	}
	if least < ping/2 || most >= ping {
		t.Errorf("got %v to %v, want half to the whole of %v", least, most, ping)
	}
	if most-least < ping/4 {
		t.Errorf("got %v to %v, want them spread", least, most)
	}
}
