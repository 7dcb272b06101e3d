package actors

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-resty/resty/v2"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"importer"
)

const (
	userAgent   = "Product-Importer-Webhooks/1"
	maxResponse = 4 << 10 // bytes of an answer that are kept
	minSecret   = 24      // bytes; Standard Webhooks, "Signature scheme"
	hiddenValue = "(hidden)"
)

// errCutOff is the outcome of a request that we have broken off ourselves:
// nobody knows whether it was delivered, and it is made again.
var errCutOff = errors.New("the request was broken off here")

// answer is what came of a request.
type answer struct {
	importer.Attempt               // but N and At
	retryAfter       time.Duration // as the receiver asks; 0 when it does not
	took             time.Duration
}

// webhookClient makes the requests. Redirects are answers, retries are the
// store's, and bodies are ours to read, so that a long one is no failure.
type webhookClient struct {
	rest *resty.Client
	now  func() time.Time
}

func newWebhookClient(transport http.RoundTripper, now func() time.Time) webhookClient {
	// Not resty.New: that one shares cookies among receivers.
	rest := resty.NewWithClient(&http.Client{Transport: transport}).
		SetRetryCount(0).
		SetRedirectPolicy(resty.RedirectPolicyFunc(func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })).
		SetDoNotParseResponse(true).
		SetDisableWarn(true)
	return webhookClient{rest, now}
}

// post sends one event, signed as it is sent. The error is errCutOff, or one
// of ours: a secret that cannot sign.
func (w webhookClient) post(ctx context.Context, to importer.WebhookTarget, eventID string, payload []byte) (answer, error) {
	header, err := signed(to.Secrets, eventID, payload, w.now())
	if err != nil {
		return answer{}, err
	}
	for name, value := range to.Headers {
		header.Set(name, value)
	}
	// The whole answer has to be there in time, its body too.
	limited, cancel := context.WithTimeout(ctx, to.Timeout)
	defer cancel()
	began := time.Now()
	req := w.rest.R().SetContext(limited).EnableTrace().SetBody(payload)
	req.Header = header
	resp, err := req.Post(to.URL)
	var a answer
	if err == nil {
		body := resp.RawBody()
		defer body.Close()
		a.Status = resp.StatusCode()
		a.retryAfter = retryAfter(resp.Header().Get("Retry-After"), w.now())
		var content []byte
		content, err = io.ReadAll(io.LimitReader(body, maxResponse))
		a.Response = strings.ToValidUTF8(string(content), "\uFFFD")
	}
	if ctx.Err() != nil {
		return answer{}, errCutOff
	}
	a.took = time.Since(began)
	a.MS = a.took.Milliseconds()
	if from := req.TraceInfo().RemoteAddr; from != nil {
		a.RemoteIP, _, _ = net.SplitHostPort(from.String())
	}
	a.Error = classify(a.Status, err)
	a.OK = a.Error == ""
	a.Request = shown(header, to.Headers)
	return a, nil
}

// signed makes the headers of Standard Webhooks, with a signature a secret.
func signed(secrets []string, eventID string, payload []byte, at time.Time) (http.Header, error) {
	var signatures []string
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) < minSecret { // the library takes an empty one
			return nil, errors.New("the secret of the webhook is damaged; rotate it")
		}
		w, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return nil, err
		}
		signature, err := w.Sign(eventID, at, payload)
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		signatures = append(signatures, signature)
	}
	return http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {userAgent},
		"Webhook-Id":        {eventID},
		"Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)},
		"Webhook-Signature": {strings.Join(signatures, " ")},
	}, nil
}

// shown is what people may see of the headers: those they set may be secrets.
func shown(header http.Header, custom map[string]string) map[string]string {
	shown := make(map[string]string, len(header))
	for name := range header {
		shown[name] = header.Get(name)
	}
	for name := range custom {
		shown[http.CanonicalHeaderKey(name)] = hiddenValue
	}
	return shown
}

// classify names the kind of failure; "" is a success. Once a status has
// come, the receiver has decided: after a 2xx it does not matter that the
// rest of the answer breaks off, for to send again would be to deliver twice.
func classify(status int, err error) string {
	switch {
	case status/100 == 2:
		return ""
	case status/100 == 3:
		return importer.AttemptRedirect
	case status != 0:
		return importer.AttemptStatus
	case errors.Is(err, importer.ErrBlocked):
		return importer.AttemptBlocked
	case isTimeout(err):
		return importer.AttemptTimeout
	case isA[*net.DNSError](err):
		return importer.AttemptDNS
	case isA[*tls.CertificateVerificationError](err), isA[tls.RecordHeaderError](err), isA[tls.AlertError](err), strings.Contains(err.Error(), "tls: "),
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return importer.AttemptTLS
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return importer.AttemptRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return importer.AttemptReset
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "server response headers exceeded"),
		strings.Contains(err.Error(), "malformed MIME header"):
		return importer.AttemptBadReply
	}
	return importer.AttemptOther
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// retryAfter reads the header of RFC 9110, section 10.2.3; 0 when there is
// none, or none that makes sense.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, maxPause.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxPause)
	}
	return 0
}
