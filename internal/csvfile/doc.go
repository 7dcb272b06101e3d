// Package csvfile turns the bytes of an uploaded product file into clean rows.
// The import pipeline opens files with Open; nothing else calls it.
//
// It exists because encoding/csv gives up at the first bad quote, knows
// neither encodings nor physical lines, and copies columns nobody asked for.
// Here a file is read as a stream through these layers:
//
//	source ─▶ gunzip ─▶ size limit ─▶ sniff ─▶ UTF-16 to UTF-8 ─▶ window
//	       ─▶ records (scan, resynchronise) ─▶ header ─▶ cells ─▶ Row or Reject
//
// One bad record never costs more than its first line: it becomes a Reject and
// reading goes on at the next physical line. Memory is bounded by the longest
// record allowed, whatever the file holds, and so is time: no part of a file is
// searched more than a few times.
//
// The package never guesses columns by their position, never replaces what it
// cannot decode, never cuts a value, and knows nothing of the catalogue:
// duplicates and files without a single valid row are its caller's affair.
package csvfile
