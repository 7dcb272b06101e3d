package pgserver_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// session is the least client that speaks PostgreSQL's protocol, as drivers
// belong to package db: https://www.postgresql.org/docs/current/protocol-flow.html
type session struct {
	conn net.Conn
	r    *bufio.Reader
}

var dsnPattern = regexp.MustCompile(`^host='([^']*)' port=(\d+) user=(\w+) dbname='(\w+)' sslmode=disable options='' target_session_attrs=any$`)

func socketOf(t *testing.T, dsn string) string {
	t.Helper()
	m := dsnPattern.FindStringSubmatch(dsn)
	if m == nil {
		t.Fatalf("odd DSN %q", dsn)
	}
	return m[1] + "/.s.PGSQL." + m[2]
}

func connect(t *testing.T, dsn string) *session {
	t.Helper()
	s, err := dial(t, dsn)
	must(t, err)
	return s
}

func dial(t *testing.T, dsn string) (*session, error) {
	t.Helper()
	conn, err := net.Dial("unix", socketOf(t, dsn))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	s := &session{conn: conn, r: bufio.NewReader(conn)}
	m := dsnPattern.FindStringSubmatch(dsn)
	hello := binary.BigEndian.AppendUint32(nil, 3<<16)
	hello = append(hello, "user\x00"+m[3]+"\x00database\x00"+m[4]+"\x00\x00"...)
	if err := s.send(hello); err != nil {
		return nil, err
	}
	_, err = s.receive()
	return s, err
}

// query returns the first column of each row.
func (s *session) query(sql string) ([]string, error) {
	if err := s.begin(sql); err != nil {
		return nil, err
	}
	return s.receive()
}

// begin sends a query and does not wait for its end.
func (s *session) begin(sql string) error {
	if _, err := s.conn.Write([]byte{'Q'}); err != nil {
		return err
	}
	return s.send([]byte(sql + "\x00"))
}

func (s *session) must(t *testing.T, sql string) string {
	t.Helper()
	rows, err := s.query(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(rows, ",")
}

func (s *session) send(body []byte) error {
	_, err := s.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...))
	return err
}

// receive reads up to ReadyForQuery.
func (s *session) receive() (rows []string, err error) {
	for {
		head := make([]byte, 5)
		if _, e := io.ReadFull(s.r, head); e != nil {
			return nil, join(err, e)
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, e := io.ReadFull(s.r, body); e != nil {
			return nil, join(err, e)
		}
		switch head[0] {
		case 'D': // number of columns (2 bytes), then length (4) and value of each
			n := binary.BigEndian.Uint32(body[2:])
			rows = append(rows, string(body[6:6+n]))
		case 'E':
			err = fmt.Errorf("server: %q", body)
		case 'Z':
			return rows, err
		}
	}
}

// join prefers what the server said to the closed connection after it.
func join(said, broken error) error {
	if said != nil {
		return said
	}
	return broken
}
