package importer

import (
	"errors"
	"fmt"
)

// Code says what kind of error it is; httpd turns it into a status.
type Code string

// The codes and their HTTP statuses.
const (
	Invalid      Code = "invalid"        // 422: understood, but a value is not allowed
	Malformed    Code = "malformed"      // 400: not understood
	Unauthorized Code = "unauthorized"   // 401
	Forbidden    Code = "forbidden"      // 403
	NotFound     Code = "not_found"      // 404
	Conflict     Code = "conflict"       // 409
	Precondition Code = "precondition"   // 412
	TooLarge     Code = "file_too_large" // 413
	Limited      Code = "limited"        // 429
	Unavailable  Code = "unavailable"    // 503: try again
	Internal     Code = "internal"       // 500

	// What can be wrong with a file as a whole.
	EmptyFile         Code = "empty_file"
	NoDataRows        Code = "no_data_rows"
	MissingColumn     Code = "missing_column"
	DuplicateColumn   Code = "duplicate_column"
	UnsupportedFormat Code = "unsupported_format"
	BadGzip           Code = "bad_gzip"
	NoValidRows       Code = "no_valid_rows"

	// What can stop an import beside its file.
	UploadIncomplete    Code = "upload_incomplete"
	StorageFull         Code = "storage_full" // 507
	StorageLost         Code = "storage_lost"
	DatabaseUnavailable Code = "database_unavailable"
	PipelineFailed      Code = "pipeline_failed"
)

// Error is the only error a user sees. Message is a sentence for people: what
// is wrong and what to do. Err is for the log and is never sent.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	Err     error
}

// FieldError points at one wrong value of a request.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, or the name of a query parameter
	Detail  string `json:"detail"`
}

// Errorf makes an Error without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrorCode returns the code of the first Error in err's tree, Internal when
// there is none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
