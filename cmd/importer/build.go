package main

import (
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker.
var (
	version = "dev"
	commit  = ""
)

// buildInfo says what is running.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty when it was not built from a checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() buildInfo {
	b := buildInfo{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}
