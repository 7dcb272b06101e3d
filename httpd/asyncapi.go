package httpd

import (
	_ "embed"
	"net/http"
)

// asyncAPI describes /ws (AsyncAPI 3). It is written by hand; tests hold every
// frame against its schemas, and its schemas against the domain's types.
//
//go:embed asyncapi.json
var asyncAPI []byte

func serveAsyncAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(asyncAPI) // the client is gone: nothing to tell it
}
