package spool

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"importer"
)

var (
	errExists   = errors.New("there is an object of that name")
	errNoObject = errors.New("there is no object of that name")
	errDamaged  = &importer.Error{Code: importer.StorageLost, Message: "The uploaded file is damaged in the object storage; upload it again."}
)

// explain turns what the library says into what somebody can do about it. The
// cause stays inside, for the log.
func explain(step string, err error) error {
	if err == nil || errors.Is(err, errDamaged) {
		return err
	}
	said, _ := errors.AsType[minio.ErrorResponse](err)
	err = fmt.Errorf("object storage: %s: %w", step, err)
	unavailable := func(message string) error {
		return &importer.Error{Code: importer.Unavailable, Message: message, Err: err}
	}
	switch said.Code {
	case minio.NoSuchKey:
		return errNoObject
	case minio.PreconditionFailed, "ConditionalRequestConflict":
		return errExists
	case minio.NoSuchBucket, minio.InvalidBucketName:
		return unavailable("The bucket for uploads does not exist. Whoever runs the server should look at BUCKET_NAME and AWS_ENDPOINT_URL_S3.")
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		return &importer.Error{Code: importer.StorageFull, Message: "The object storage is full, so the file could not be stored. Free some space there and upload it again.", Err: err}
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion:
		return unavailable("The object storage is in another region. Whoever runs the server should look at AWS_REGION.")
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case said.StatusCode == http.StatusForbidden, said.StatusCode == http.StatusUnauthorized:
		return unavailable("The object storage refuses the server's key. Whoever runs the server should look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and let that key read, write, list and delete in the bucket.")
	case said.StatusCode == http.StatusNotImplemented:
		return unavailable("The object storage does not do what uploads need of it. It has to know conditional writes (If-None-Match), as Tigris, Amazon S3, R2 and MinIO do.")
	}
	return unavailable("The object storage for uploads does not answer. Try again in a moment; if it stays so, whoever runs the server should look at AWS_ENDPOINT_URL_S3.")
}
