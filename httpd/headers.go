package httpd

import "net/http"

// setHeaders tells browsers what an answer is not: no page, unless its handler
// says otherwise; nothing that another site may show, run or load; nothing to
// keep. Behind TLS they are to come back by TLS only (RFC 6797), but not to
// localhost, where other programs live by its name.
func setHeaders(h http.Header, r *http.Request, secure bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	if !isStatic(r) {
		h.Set("Cache-Control", "no-store")
	}
	if secure && !isLocalName(r.Host) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
