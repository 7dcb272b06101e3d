package check_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is one that the program exports, by the list in docs/metrics.md. A
// test of cmd/importer keeps that list what a real process says.
type metric struct {
	kind   string
	labels []string
}

// listed reads docs/metrics.md: | `name` | type | `label`, `label` | what it is |.
func listed(t *testing.T) map[string]metric {
	t.Helper()
	content, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{"up": {kind: "gauge"}} // Prometheus' own
	row := regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| (counter|gauge|histogram|summary) \\| ([^|]*) \\|")
	for _, m := range row.FindAllStringSubmatch(string(content), -1) {
		found := metric{kind: m[2]}
		for name := range strings.SplitSeq(m[3], ",") {
			if name = strings.Trim(name, " `"); name != "" {
				found.labels = append(found.labels, name)
			}
		}
		all[m[1]] = found
	}
	if len(all) < 40 {
		t.Fatalf("only %d metrics found in docs/metrics.md", len(all))
	}
	return all
}

// panel is what the tests look at of one.
type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	content, err := os.ReadFile("../grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	return dashboard.Panels
}

// Grafana draws panels that lie upon each other, and mixes up those of one id.
func TestPanelsHaveRoom(t *testing.T) {
	t.Parallel()
	all := panels(t)
	for i, p := range all {
		a := p.GridPos
		if a.W < 1 || a.H < 1 || a.X < 0 || a.X+a.W > 24 {
			t.Errorf("panel %q lies at %+v, outside of the 24 columns", p.Title, a)
		}
		for _, q := range all[:i] {
			b := q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q lie upon each other", q.Title, p.Title)
			}
			if p.ID == q.ID {
				t.Errorf("panels %q and %q have the same id", q.Title, p.Title)
			}
		}
	}
}

// A figure that nobody looks at helps nobody.
func TestEveryMetricIsShown(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	for _, queries := range panelQueries(t) {
		shown.WriteString(strings.Join(queries, "\n"))
	}
	for _, r := range rules(t) {
		shown.WriteString("\n" + r.Expr)
	}
	for name := range listed(t) {
		if !regexp.MustCompile(name + `(_bucket)?\b`).MatchString(shown.String()) {
			t.Errorf("%s is on no panel and in no alert", name)
		}
	}
}

// panelQueries are the expressions of the dashboard, by the title of their panel.
func panelQueries(t *testing.T) map[string][]string {
	t.Helper()
	// What Grafana fills in.
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	queries := map[string][]string{}
	for _, p := range panels(t) {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || queries[p.Title] != nil {
			t.Errorf("panel %q shows nothing, or there are two of this title", p.Title)
		}
		for _, target := range p.Targets {
			queries[p.Title] = append(queries[p.Title], fill.Replace(target.Expr))
		}
	}
	return queries
}

func TestEveryNameIsExported(t *testing.T) {
	t.Parallel()
	known := listed(t)
	for title, queries := range panelQueries(t) {
		for _, q := range queries {
			for _, complaint := range complaints(q, known) {
				t.Errorf("panel %q: %s", title, complaint)
			}
		}
	}
	for _, r := range rules(t) {
		for _, complaint := range complaints(r.Expr, known) {
			t.Errorf("alert %s: %s", r.Alert, complaint)
		}
	}
}

// complaints says what is wrong with an expression: that it is none, or names
// what there is not.
func complaints(expression string, known map[string]metric) (all []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}
	}
	given := []string{"job", "instance"}
	var needed []string
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			m, ok := find(n.Name, known)
			if !ok {
				all = append(all, "there is no metric "+n.Name)
			}
			given = append(given, m.labels...)
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != labels.MetricName && !slices.Contains(append(m.labels, "job", "instance"), matcher.Name) {
					all = append(all, n.Name+" has no label "+matcher.Name)
				}
			}
		case *parser.AggregateExpr:
			needed = append(needed, n.Grouping...)
		}
		return nil
	})
	for _, name := range needed {
		if !slices.Contains(given, name) {
			all = append(all, "nothing here has a label "+name)
		}
	}
	return all
}

// find also knows the series that a histogram consists of.
func find(name string, known map[string]metric) (metric, bool) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if m, ok := known[strings.TrimSuffix(name, suffix)]; ok && m.kind == "histogram" && strings.HasSuffix(name, suffix) {
			return metric{m.kind, append(slices.Clone(m.labels), "le")}, true
		}
	}
	m, ok := known[name]
	return m, ok && m.kind != "histogram"
}

func TestComplaintsAreMade(t *testing.T) {
	t.Parallel()
	known := map[string]metric{"a_total": {kind: "counter", labels: []string{"code"}}, "b_seconds": {kind: "histogram"}}
	for expression, want := range map[string]int{
		`sum by (code) (rate(a_total{job="x"}[5m]))`:                        0,
		`histogram_quantile(0.9, sum by (le) (rate(b_seconds_bucket[5m])))`: 0,
		`sum(`:                      1,
		`rate(b_total[5m])`:         1,
		`rate(b_seconds[5m])`:       1, // a histogram has no series of its own name
		`a_total{colour="red"}`:     1,
		`sum by (colour) (a_total)`: 1,
	} {
		if got := complaints(expression, known); len(got) != want {
			t.Errorf("%s: got %q, want %d complaints", expression, got, want)
		}
	}
}
