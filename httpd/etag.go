package httpd

import (
	"strconv"
	"strings"

	"importer"
)

// noVersion is one that no product has: versions count from 1.
const noVersion = -1

// etag is how a version is shown, and quoted back (RFC 9110, 8.8.3).
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// matchVersion reads If-Match: the version that a change was made for, 0 when
// the client does not mind ("*", or no header).
func matchVersion(header string) (int64, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return 0, nil
	}
	// A weak tag never matches strongly, and one that is not ours is of some
	// other version.
	tag, quoted := strings.CutPrefix(strings.TrimPrefix(header, "W/"), `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	if !quoted || !closed || strings.ContainsAny(tag, `",`) {
		return 0, &importer.Error{
			Code:    importer.Malformed,
			Message: `If-Match takes one ETag in its quotes, as in If-Match: "3".`,
			Fields:  []importer.FieldError{{Pointer: "If-Match", Detail: "is not one ETag"}},
		}
	}
	version, err := strconv.ParseInt(tag, 10, 64)
	if err != nil || version < 1 || strings.HasPrefix(header, "W/") {
		return noVersion, nil //nolint:nilerr // an ETag that we never gave is nobody's version
	}
	return version, nil
}

// noneMatch reads If-None-Match: whether the client has this version already.
// The comparison is the weak one.
func noneMatch(header string, version int64) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag(version) {
			return true
		}
	}
	return false
}
