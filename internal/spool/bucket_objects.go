package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// objects is the few requests that Bucket needs. Those that fail for a passing
// reason are repeated until their context ends.
type objects struct {
	core      minio.Core
	bucket    string
	transport *http.Transport
}

const (
	connectTime = 5 * time.Second
	answerTime  = 10 * time.Second // once a request is sent: then it is sent again
	askAgain    = 200 * time.Millisecond
	// A digest that is wrong again and again is no accident of the way.
	damagedAfter = 3

	// Digest of an object's content, as metadata; the storage compares it with
	// what arrives, and the reader with what comes back.
	digestHeader = "X-Amz-Meta-Sha256"
	digestName   = "Sha256"
)

func newObjects(o BucketOptions) (*objects, error) {
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "https" && endpoint.Scheme != "http") {
		return nil, fmt.Errorf("the endpoint of the object storage is %q, want a URL like https://fly.storage.tigris.dev", o.Endpoint)
	}
	if err := s3utils.CheckValidBucketName(o.Name); err != nil {
		return nil, fmt.Errorf("the bucket cannot be named %q: %w", o.Name, err)
	}
	transport, err := minio.DefaultTransport(endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.DialContext = (&net.Dialer{Timeout: connectTime, KeepAlive: 30 * time.Second}).DialContext
	transport.ResponseHeaderTimeout = answerTime
	options := minio.Options{
		Creds:      credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:     endpoint.Scheme == "https",
		Transport:  way{transport, isTigris(endpoint.Hostname())},
		Region:     o.Region,
		MaxRetries: 3, // and then ask goes on, which remembers why they failed
	}
	if isTigris(endpoint.Hostname()) {
		options.BucketLookup = minio.BucketLookupDNS
	}
	core, err := minio.NewCore(endpoint.Host, &options)
	if err != nil {
		return nil, fmt.Errorf("object storage: %w", err)
	}
	return &objects{core: *core, bucket: o.Name, transport: transport}, nil
}

// put makes an object. errExists when there is one already, but not when that
// has the same content: it may be from this very call, if its answer got lost.
func (o *objects) put(ctx context.Context, key string, content []byte) error {
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	options := minio.PutObjectOptions{
		ContentType:  "application/octet-stream",
		UserMetadata: map[string]string{digestName: digest},
		// The digest is signed as a whole instead of piece by piece.
		DisableContentSha256: true,
	}
	options.SetMatchETagExcept("*")
	err := ask(ctx, "write", func() error {
		_, err := o.core.PutObject(ctx, o.bucket, key, bytes.NewReader(content), int64(len(content)), "", digest, options)
		return err
	})
	if !errors.Is(err, errExists) {
		return err
	}
	var there minio.ObjectInfo
	err = ask(ctx, "look at an object", func() (err error) {
		there, err = o.core.StatObject(ctx, o.bucket, key, minio.StatObjectOptions{})
		return err
	})
	switch {
	case err != nil && !errors.Is(err, errNoObject):
		return err
	case err == nil && there.Metadata.Get(digestHeader) == digest && there.Size == int64(len(content)):
		return nil
	}
	return errExists
}

// get reads an object of the size of into.
func (o *objects) get(ctx context.Context, key string, into []byte) error {
	damaged := 0
	return ask(ctx, "read", func() error {
		body, info, _, err := o.core.GetObject(ctx, o.bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		if info.Size != int64(len(into)) {
			return errDamaged
		}
		if _, err := io.ReadFull(body, into); err != nil {
			return err
		}
		if sum := sha256.Sum256(into); hex.EncodeToString(sum[:]) != info.Metadata.Get(digestHeader) {
			if damaged++; damaged == damagedAfter {
				return errDamaged
			}
			return errors.New("content and digest differ")
		}
		return nil
	})
}

// ask repeats a request that ends without an answer, in the middle of it or
// with one that passes, until ctx ends.
func ask(ctx context.Context, step string, request func() error) error {
	var why error
	for {
		err := request()
		if err == nil || isFinal(err) {
			return explain(step, err)
		}
		if ctx.Err() == nil {
			why = err // the library knows only of the context's end then
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return explain(step, errors.Join(ctx.Err(), why))
		}
	}
}

// isFinal reports whether another try would end in the same way.
func isFinal(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	said, answered := errors.AsType[minio.ErrorResponse](err)
	switch said.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return answered
}

// list calls found with the names and sizes of the objects in a folder, those
// after a name, in their order.
func (o *objects) list(ctx context.Context, folder, after string, found func(name string, size int64)) error {
	options := minio.ListObjectsOptions{Prefix: folder, Recursive: true, FetchOwner: new(bool)}
	if after != "" {
		options.StartAfter = folder + after
	}
	return o.each(ctx, options, func(i minio.ObjectInfo) { found(strings.TrimPrefix(i.Key, folder), i.Size) })
}

// folders calls found with the names of the folders in a folder.
func (o *objects) folders(ctx context.Context, folder string, found func(name string)) error {
	options := minio.ListObjectsOptions{Prefix: folder, FetchOwner: new(bool)}
	return o.each(ctx, options, func(i minio.ObjectInfo) {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(i.Key, folder), "/"); ok {
			found(name)
		}
	})
}

func (o *objects) each(ctx context.Context, options minio.ListObjectsOptions, f func(minio.ObjectInfo)) error {
	var all []minio.ObjectInfo
	err := ask(ctx, "list", func() error {
		all = all[:0]
		for i := range o.core.ListObjectsIter(ctx, o.bucket, options) {
			if i.Err != nil {
				return i.Err
			}
			all = append(all, i)
		}
		// The library ends without a word then, which is not the end of the list.
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, i := range all {
		f(i)
	}
	return nil
}

// remove deletes objects; those that are not there are no error.
func (o *objects) remove(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	all := func(yield func(minio.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(minio.ObjectInfo{Key: key}) {
				return
			}
		}
	}
	return ask(ctx, "delete", func() error {
		results, err := o.core.RemoveObjectsWithIter(ctx, o.bucket, all, minio.RemoveObjectsOptions{})
		if err != nil {
			return err
		}
		for result := range results {
			if result.Err != nil {
				return result.Err
			}
		}
		return ctx.Err()
	})
}
