package httpd

import (
	"bufio"
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"importer"
)

// rejectsCSV sends the rejected rows as they were, behind their line and the
// reason. With the byte order mark a file that goes back in after it was
// mended is read as UTF-8 whatever an editor left in it, and the columns line
// and reason are ignored as any other unknown ones.
func (s *Server) rejectsCSV(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		fail(w, r, err)
		return
	}
	imp, err := s.Imports.Import(ctx, id)
	if err != nil {
		fail(w, r, err)
		return
	}
	head, err := s.Imports.RejectHead(ctx, id)
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": rejectsName(imp.Filename)}))
	answer := &patientWriter{w: w, control: http.NewResponseController(w), each: s.AnswerTime}
	out := bufio.NewWriterSize(answer, 64<<10)
	delimiter := cmp.Or(head.Delimiter, ",")
	fmt.Fprintf(out, "\uFEFFline%[1]sreason%[1]s%[2]s\r\n", delimiter, head.Raw)
	err = s.Imports.EachReject(ctx, id, func(reject importer.Reject) error {
		return writeReject(out, delimiter, reject)
	})
	if err != nil && !answer.begun {
		w.Header().Del("Content-Disposition")
		fail(w, r, err)
		return
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		// The status is out: a broken connection is the only way left to say
		// that rows are missing.
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("import_id", id).Msg("rejects were not sent in full")
		panic(http.ErrAbortHandler)
	}
}

func writeReject(out *bufio.Writer, delimiter string, reject importer.Reject) error {
	out.WriteString(strconv.FormatInt(reject.Line, 10))
	out.WriteString(delimiter)
	out.WriteString(reject.Reason)
	out.WriteString(delimiter)
	out.Write(reject.Raw)
	_, err := out.WriteString("\r\n") // a bufio.Writer keeps its first error
	return err
}

// rejectsName turns products.csv.gz into products-rejects.csv.
func rejectsName(filename string) string {
	name := strings.TrimSuffix(filename, ".gz")
	return cmp.Or(strings.TrimSuffix(name, path.Ext(name)), "import") + "-rejects.csv"
}

// patientWriter gives every write its own deadline, so that a long answer may
// take its time and a reader that has stopped is noticed.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	each    time.Duration
	begun   bool
}

func (p *patientWriter) Write(b []byte) (int, error) {
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(p.each))
	return p.w.Write(b)
}
