package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"importer/internal/golden"
)

// The list in docs/operations.md is what serve takes.
func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	var c config
	var out strings.Builder
	out.WriteString("| Flag | Variable | Default | |\n|---|---|---|---|\n")
	for _, flag := range serveFlags(&c) {
		d := flag.(cli.DocGenerationFlag)
		value := strings.Trim(d.GetValue(), `"`)
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&out, "| `--%s` | `%s` | %s | %s |\n", flag.Names()[0], strings.Join(d.GetEnvVars(), "`, `"), value, d.GetUsage())
	}
	golden.Part(t, "../../docs/operations.md", "settings", out.String())
}

// Every field of the configuration is filled by a flag, and every flag fills
// one; so what is not documented cannot be set.
func TestEveryFieldIsASetting(t *testing.T) {
	t.Parallel()
	notSettings := []string{"metricsAsked"} // what a flag was, not what it says
	fields := reflect.TypeFor[config]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		var setBy []string
		var c config
		for _, flag := range serveFlags(&c) {
			if !reflect.ValueOf(with(t, flag.Names()[0])).Field(i).Equal(reflect.ValueOf(with(t, "")).Field(i)) {
				setBy = append(setBy, flag.Names()[0])
			}
		}
		if want := 1; len(setBy) != want && !slices.Contains(notSettings, name) {
			t.Errorf("%s is set by %v, want one flag", name, setBy)
		}
	}
}

// with parses one flag, and none when name is empty.
func with(t *testing.T, name string) (c config) {
	t.Helper()
	flags := serveFlags(&c)
	args := []string{"serve"}
	for _, flag := range flags {
		if flag.Names()[0] != name {
			continue
		}
		switch flag.(type) {
		case *cli.BoolFlag:
			args = append(args, "--"+name)
		case *cli.DurationFlag:
			args = append(args, "--"+name, "77s")
		default:
			args = append(args, "--"+name, "77")
		}
	}
	cmd := &cli.Command{Flags: flags, Action: func(context.Context, *cli.Command) error { return nil }}
	if err := cmd.Run(t.Context(), args); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return c
}
