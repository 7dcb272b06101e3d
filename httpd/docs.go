package httpd

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle []byte

// The page has no script and loads nothing but its style sheet.
const docsPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docs serves the OpenAPI document as a page for people, made once.
func docs(sf *surface) error {
	page, err := template.New("docs").Funcs(template.FuncMap{"prose": prose, "pretty": pretty, "kind": kind, "ref": refName, "plain": plainNumber}).Parse(docsPage)
	if err != nil {
		return fmt.Errorf("parse the page of the API: %w", err)
	}
	var html bytes.Buffer
	if err := page.Execute(&html, pageOf(sf.api.OpenAPI())); err != nil {
		return fmt.Errorf("make the page of the API: %w", err)
	}
	sf.serve(public, "GET /docs", asset("text/html; charset=utf-8", html.Bytes()))
	sf.serve(public, "GET /docs/style.css", asset("text/css; charset=utf-8", docsStyle))
	return nil
}

func asset(kind string, content []byte) http.HandlerFunc {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", docsPolicy)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// What docs.html shows.
type (
	docsView struct {
		*huma.OpenAPI
		Groups  []docsGroup
		Schemas []docsSchema
	}
	docsGroup struct {
		*huma.Tag
		Operations []docsOperation
	}
	docsOperation struct {
		*huma.Operation
		Curl    string
		Answers []docsAnswer
	}
	docsAnswer struct {
		Status string
		*huma.Response
	}
	docsSchema struct {
		Name string
		*huma.Schema
		Members []docsMember
	}
	docsText struct {
		Text string
		Code bool
	}
	docsMember struct {
		Name     string
		Required bool
		*huma.Schema
	}
)

func pageOf(doc *huma.OpenAPI) docsView {
	view := docsView{OpenAPI: doc}
	groups := map[string]int{}
	for i, tag := range doc.Tags {
		groups[tag.Name] = i
		view.Groups = append(view.Groups, docsGroup{Tag: tag})
	}
	eachOperation(doc, func(op *huma.Operation) {
		o := docsOperation{Operation: op, Curl: curl(op)}
		for _, status := range sortedKeys(op.Responses) {
			answer := op.Responses[status]
			if name, ok := strings.CutPrefix(answer.Ref, responsePath); ok {
				answer = doc.Components.Responses[name]
			}
			o.Answers = append(o.Answers, docsAnswer{status, answer})
		}
		group := &view.Groups[groups[op.Tags[0]]]
		group.Operations = append(group.Operations, o)
	})
	schemas := doc.Components.Schemas.Map()
	for _, name := range sortedKeys(schemas) {
		s := docsSchema{Name: name, Schema: schemas[name]}
		for _, member := range sortedKeys(s.Properties) {
			s.Members = append(s.Members, docsMember{member, slices.Contains(s.Required, member), s.Properties[member]})
		}
		view.Schemas = append(view.Schemas, s)
	}
	return view
}

// curl is a command that does what an operation is for.
func curl(op *huma.Operation) string {
	if op.Path == "/ws" {
		return `wscat -c "ws${SERVER#http}/ws"`
	}
	path := op.Path
	var b strings.Builder
	b.WriteString("curl")
	switch {
	case op.Method == http.MethodHead:
		b.WriteString(" -I")
	case op.Method != http.MethodGet:
		b.WriteString(" -X " + op.Method)
	}
	for _, p := range op.Parameters {
		switch {
		case p.In == "path" && p.Example != nil:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Example))
		case p.In == "header" && p.Required:
			fmt.Fprintf(&b, " -H '%s: %v'", p.Name, p.Example)
		case p.Name == "If-Match":
			b.WriteString(` -H 'If-Match: "3"'`)
		}
	}
	if op.RequestBody != nil {
		if media := op.RequestBody.Content["application/json"]; media != nil {
			body, _ := json.Marshal(media.Example) // the document holds it, so it can be encoded
			fmt.Fprintf(&b, " -H 'Content-Type: application/json' -d '%s'", body)
		} else if op.RequestBody.Content["text/csv"] != nil {
			b.WriteString(" --data-binary @products.csv")
		} else {
			b.WriteString(" -H 'Content-Type: application/offset+octet-stream' --data-binary @products.csv")
		}
	}
	switch op.OperationID {
	case "delete-all-products":
		path += "?confirm=delete-all"
	case "list-products":
		path += "?q=lamp&sort=-updated"
	}
	return b.String() + ` "$SERVER` + path + `"`
}

// prose splits a text at its backquotes: every second part is code.
func prose(s string) (parts []docsText) {
	for i, part := range strings.Split(s, "`") {
		parts = append(parts, docsText{part, i%2 == 1})
	}
	return parts
}

func pretty(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}

// plainNumber is 1000000000, not 1e+09.
func plainNumber(n *float64) string { return strconv.FormatFloat(*n, 'f', -1, 64) }

// kind is a schema's type in words.
func kind(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return refName(s)
	case len(s.AnyOf) > 0:
		return kind(s.AnyOf[0]) + " or null"
	case len(s.AllOf) > 0:
		return kind(s.AllOf[0])
	case s.Type == huma.TypeArray:
		return "list of " + kind(s.Items)
	case s.Type == "":
		return "anything"
	}
	words := s.Type
	if s.Format != "" {
		words += " (" + s.Format + ")"
	}
	if s.Nullable {
		words += " or null"
	}
	return words
}

// refName is the name of the schema that s is, or lists; "" for another.
func refName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case s.Items != nil:
		return refName(s.Items)
	}
	for _, part := range slices.Concat(s.AnyOf, s.AllOf) {
		if name := refName(part); name != "" {
			return name
		}
	}
	return ""
}
