package csvfile

import (
	"io"

	"importer"
)

// OpenSmall is Open with a window and a longest record small enough for
// fuzzing to reach their ends.
func OpenSmall(source io.Reader, window, longest int) importer.RowReader {
	return newReader(source, nil, 0, window, longest)
}

// DecodeUTF16 returns the layer that turns UTF-16 into UTF-8.
func DecodeUTF16(source io.Reader, bigEndian bool) io.Reader {
	return &utf16Reader{source: source, bigEndian: bigEndian}
}
