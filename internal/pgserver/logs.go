package pgserver

import (
	"bufio"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// serverLog passes the lines that a server writes on to our log.
type serverLog struct {
	log    zerolog.Logger
	pipe   *os.File
	ready  atomic.Bool   // accepts connections, so a FATAL is a client's
	ending atomic.Bool   // shutting down
	read   chan struct{} // closed at the end of the pipe

	mu   sync.Mutex
	last string
}

func newServerLog(log zerolog.Logger, pipe *os.File) *serverLog {
	l := &serverLog{log: log.With().Str("component", "postgres").Logger(), pipe: pipe, read: make(chan struct{})}
	go l.pump()
	return l
}

// lastWords is the last line that may tell why the server ended, if any.
func (l *serverLog) lastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// finish waits for the rest of the log, but not for a backend that outlives its
// postmaster and holds the pipe.
func (l *serverLog) finish() {
	select {
	case <-l.read:
	case <-time.After(time.Second):
	}
	l.pipe.Close()
	<-l.read
}

// pump must not stop before the end of the pipe, whatever comes: a full pipe
// would block the server. So of an endless line it keeps the beginning.
func (l *serverLog) pump() {
	defer close(l.read)
	r := bufio.NewReaderSize(l.pipe, 4096)
	level := zerolog.DebugLevel
	for {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		level = l.write(string(line), level)
		for more && err == nil {
			_, more, err = r.ReadLine()
		}
	}
}

// write returns the level it chose, which holds for the lines that continue
// this one.
func (l *serverLog) write(line string, previous zerolog.Level) zerolog.Level {
	if text, ok := strings.CutPrefix(line, "\t"); ok {
		l.log.WithLevel(previous).Msg(text)
		return previous
	}
	m := parseLogLine(line)
	level := m.level(l.ending.Load())
	if m.severity == "PANIC" || !l.ready.Load() && (m.severity == "FATAL" || m.severity == "") {
		l.mu.Lock()
		l.last = m.text
		l.mu.Unlock()
	}
	l.log.WithLevel(level).Str("sqlstate", m.state).Msg(m.text)
	return level
}

// logMessage is one line of PostgreSQL's under log_line_prefix '%e '.
type logMessage struct {
	state    string // SQLSTATE, 00000 for none
	severity string // empty for what is not in PostgreSQL's format
	text     string
}

func parseLogLine(line string) logMessage {
	state, rest, ok := strings.Cut(line, " ")
	if severity, text, found := strings.Cut(rest, ":  "); ok && found && len(state) == 5 && !strings.Contains(severity, " ") {
		return logMessage{state, severity, text}
	}
	return logMessage{text: line}
}

// level is how much our operator should care. What a client did wrong, the
// client is told.
func (m logMessage) level(ending bool) zerolog.Level {
	switch m.state {
	case "57P01", "57P03": // connections cut by a shutdown, or tried during one or during a start
		if ending || m.state == "57P03" {
			return zerolog.DebugLevel
		}
	}
	switch m.severity {
	case "PANIC":
		return zerolog.ErrorLevel
	case "WARNING", "FATAL", "":
		return zerolog.WarnLevel
	case "ERROR":
		if m.needsOperator() {
			return zerolog.ErrorLevel
		}
	case "LOG":
		// "server process (PID 7) was terminated by signal 9: Killed": only a
		// LOG to PostgreSQL, but mostly the out-of-memory killer.
		if strings.Contains(m.text, "was terminated by signal") {
			return zerolog.WarnLevel
		}
	}
	return zerolog.DebugLevel
}

// needsOperator picks the classes of SQLSTATE that no client can mend:
// insufficient resources (disk full), system errors, corruption.
func (m logMessage) needsOperator() bool {
	switch m.state[:2] {
	case "53", "58", "XX":
		return true
	}
	return false
}
