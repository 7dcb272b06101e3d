package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"importer"
	"importer/internal/spool"
)

// uploads is where uploaded files are kept.
type uploads interface {
	importer.Spool
	// Writable checks that a file could be kept now.
	Writable(ctx context.Context) error
}

const regionAuto = "auto"

// A bucket may be shared with another installation that has a database of its
// own, by mistake say, so a file that is unknown here may be needed there. That
// keeps files for a week after the end of an import.
const bucketStrayAfter = 30 * 24 * time.Hour

// openUploads opens the bucket, if there is one, else the data directory. The
// bucket is not asked anything: without it the server is not ready, and says why.
func openUploads(c *config) (uploads, error) {
	if c.bucket == "" {
		return spool.Open(filepath.Join(c.dataDir, "uploads"))
	}
	return c.openBucket()
}

func (c *config) openBucket() (*spool.Bucket, error) {
	return spool.OpenBucket(spool.BucketOptions{
		Name: c.bucket, Endpoint: c.bucketURL(), Region: c.bucketRegion,
		AccessKey: c.bucketAccessKey, SecretKey: c.bucketSecretKey,
	})
}

// strayAfter is the age from which files without an import are removed; 0
// leaves that to others.
func (c *config) strayAfter() time.Duration {
	if c.bucket == "" {
		return 0
	}
	return bucketStrayAfter
}

// keepsNothing reports whether the data directory is not used.
func (c *config) keepsNothing() bool { return c.bucket != "" && c.databaseURL != "" }

func (c *config) bucketURL() string {
	if c.bucketEndpoint != "" {
		return c.bucketEndpoint
	}
	return "https://s3." + c.bucketRegion + ".amazonaws.com"
}

// validateBucket finds out what is missing. The variables of AWS without a
// bucket may be there for something else.
func (c *config) validateBucket() error {
	if c.bucket == "" {
		return nil
	}
	var problems []error
	if c.bucketAccessKey == "" || c.bucketSecretKey == "" {
		problems = append(problems, errors.New("BUCKET_NAME is set, but AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not: set both, or unset BUCKET_NAME to keep uploads on this machine"))
	}
	if c.bucketEndpoint == "" && c.bucketRegion == regionAuto {
		problems = append(problems, errors.New("BUCKET_NAME is set, but nothing says where that bucket is: set AWS_ENDPOINT_URL_S3, or AWS_REGION for Amazon S3"))
	} else if _, err := c.openBucket(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
