package importer

// Progress is how far an import has come. All of its figures only grow within
// one attempt, RowsPerSecond excepted, and Percent never falls in the life of
// an import: not even when another machine takes it over and scans again.
type Progress struct {
	Phase         Phase   `json:"phase"`
	Bytes         int64   `json:"bytes"`         // received
	BytesTotal    int64   `json:"bytes_total"`   // 0 while unknown
	BytesScanned  int64   `json:"bytes_scanned"` // read by the parser, first pass
	RowsScanned   int64   `json:"rows_scanned"`
	RowsDone      int64   `json:"rows_done"`  // written, by the ledger
	RowsTotal     int64   `json:"rows_total"` // to write; 0 until the scan is done
	RowsPerSecond float64 `json:"rows_per_s"` // of the phase that runs
	Percent       float64 `json:"percent"`    // 0 to 100
	Notice        string  `json:"notice"`     // what it waits for, in words; "" when it runs
}

// Phase is the word for people of what an import is doing.
type Phase string

// The phases. Uploading, parsing and validating overlap; the word is that of
// the one everything else waits for.
const (
	PhaseUploading  Phase = "uploading"
	PhaseParsing    Phase = "parsing"
	PhaseValidating Phase = "validating"
	PhaseWriting    Phase = "writing"
	PhaseComplete   Phase = "complete"
)

// The shares of the three kinds of work in Percent. Writing is what takes
// time; the upload and the scan run side by side.
const (
	uploadShare = 15.0
	scanShare   = 15.0
	writeShare  = 70.0
)

// Fold takes next in so that no figure falls below what was shown before,
// and works out Percent. Phase, rate and notice are next's.
func (p Progress) Fold(next Progress) Progress {
	next.Bytes = max(p.Bytes, next.Bytes)
	next.BytesTotal = max(p.BytesTotal, next.BytesTotal)
	next.BytesScanned = max(p.BytesScanned, next.BytesScanned)
	next.RowsScanned = max(p.RowsScanned, next.RowsScanned)
	next.RowsDone = max(p.RowsDone, next.RowsDone)
	next.RowsTotal = max(p.RowsTotal, next.RowsTotal)
	next.Percent = max(p.Percent, next.percent())
	return next
}

func (p Progress) percent() float64 {
	if p.Phase == PhaseComplete {
		return 100
	}
	// 99.9: only a completed import is at 100.
	return min(99.9, uploadShare*ratio(p.Bytes, p.BytesTotal)+
		scanShare*ratio(p.BytesScanned, p.BytesTotal)+
		writeShare*ratio(p.RowsDone, p.RowsTotal))
}

func ratio(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}
