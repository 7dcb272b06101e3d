package check_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// anyImage answers what BuildKit asks a registry about a base image, so that
// the Dockerfile is read in full without one.
type anyImage struct{}

func (anyImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(ocispecs.Image{
		Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		Config:   ocispecs.ImageConfig{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}},
	})
	return ref, digest.FromBytes(config), config, err
}

// lint is what `docker build --check` says about all stages.
func lint(t *testing.T, content string) (said []string) {
	t.Helper()
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(content))
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(content), dockerfile2llb.ConvertOpt{
		SourceMap:    source,
		MetaResolver: anyImage{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if results.Error != nil {
		said = append(said, results.Error.Message)
	}
	for _, w := range results.Warnings {
		line := int32(0)
		if len(w.Location.Ranges) > 0 {
			line = w.Location.Ranges[0].Start.Line
		}
		said = append(said, fmt.Sprintf("Dockerfile:%d: %s: %s", line, w.RuleName, w.Detail))
	}
	return said
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	for _, complaint := range lint(t, read(t, "../../Dockerfile")) {
		t.Error(complaint)
	}
}

func TestDockerfileComplaintsAreMade(t *testing.T) {
	t.Parallel()
	good := read(t, "../../Dockerfile")
	for name, change := range map[string][2]string{
		"a word that is none":     {"\nRUN ", "\nRNU "},
		"a shell before the init": {`CMD ["serve"]`, `CMD serve`},
		"a secret for ever":       {"ARG COMMIT=", "ARG COMMIT=\nARG IMPORTER_ADMIN_TOKEN"},
		"an argument unheard of":  {"FROM ${APP_BASE}", "FROM ${APP_BSE}"},
	} {
		content := strings.Replace(good, change[0], change[1], 1)
		if content == good {
			t.Errorf("%s: the test's own change does not work", name)
		} else if len(lint(t, content)) == 0 {
			t.Errorf("%s: nobody complains", name)
		}
	}
}
