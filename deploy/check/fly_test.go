package check_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// flyConfig has the keys of fly.toml that we use, and no others: flyctl takes a
// key that it does not know without a word. The names are those of flyctl's
// appconfig.Config (https://fly.io/docs/reference/configuration/).
type flyConfig struct {
	App           string `toml:"app"`
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   string `toml:"kill_timeout"`
	Build         struct {
		Dockerfile string `toml:"dockerfile"`
		Target     string `toml:"build-target"`
	} `toml:"build"`
	Deploy struct {
		ReleaseCommand string `toml:"release_command"`
		Strategy       string `toml:"strategy"`
	} `toml:"deploy"`
	Env         map[string]string `toml:"env"`
	HTTPService struct {
		InternalPort int    `toml:"internal_port"`
		ForceHTTPS   bool   `toml:"force_https"`
		AutoStop     string `toml:"auto_stop_machines"`
		AutoStart    bool   `toml:"auto_start_machines"`
		Concurrency  struct {
			Type      string `toml:"type"`
			SoftLimit int    `toml:"soft_limit"`
			HardLimit int    `toml:"hard_limit"`
		} `toml:"concurrency"`
		Options struct {
			IdleTimeout int `toml:"idle_timeout"` // seconds
		} `toml:"http_options"`
		Checks []struct {
			Method      string `toml:"method"`
			Path        string `toml:"path"`
			Interval    string `toml:"interval"`
			Timeout     string `toml:"timeout"`
			GracePeriod string `toml:"grace_period"`
		} `toml:"checks"`
	} `toml:"http_service"`
	Metrics []struct {
		Port int    `toml:"port"`
		Path string `toml:"path"`
	} `toml:"metrics"`
	VM []struct {
		Size   string `toml:"size"`
		Memory string `toml:"memory"`
	} `toml:"vm"`
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func decodeFly(content string) (c flyConfig, err error) {
	err = toml.NewDecoder(strings.NewReader(content)).DisallowUnknownFields().Decode(&c)
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		err = errors.New(unknown.String()) // with the lines
	}
	return c, err
}

func TestFlyConfig(t *testing.T) {
	t.Parallel()
	c, err := decodeFly(read(t, "../../fly.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range flyComplaints(t, c) {
		t.Error(complaint)
	}
}

// flyComplaints is what does not fit the program, or the rest of the file.
func flyComplaints(t *testing.T, c flyConfig) (all []string) {
	t.Helper()
	want := func(ok bool, complaint string) {
		if !ok {
			all = append(all, complaint)
		}
	}
	port := func(variable string) string {
		_, port, err := net.SplitHostPort(c.Env[variable])
		if err != nil {
			return err.Error()
		}
		return port
	}
	want(port("IMPORTER_ADDR") == strconv.Itoa(c.HTTPService.InternalPort), "the proxy asks another port than IMPORTER_ADDR")
	want(len(c.Metrics) == 1 && c.Metrics[0].Path == "/metrics" && port("IMPORTER_METRICS_ADDR") == strconv.Itoa(c.Metrics[0].Port),
		"the metrics are asked for elsewhere than at IMPORTER_METRICS_ADDR")
	want(port("IMPORTER_METRICS_ADDR") != port("IMPORTER_ADDR"), "the metrics ask nobody who they are, and are on the public port")
	want(c.Env["IMPORTER_CLIENT_IP_HEADER"] == "Fly-Client-IP", "limits would count for the proxy, that is for everybody at once")
	want(c.Env["IMPORTER_PRIVATE_PG"] == "never", "a lost secret would start an empty database")
	for variable := range c.Env {
		want(!strings.Contains(variable, "TOKEN") && !strings.HasSuffix(variable, "DATABASE_URL"), variable+" is a secret: fly secrets set")
	}

	// docs/operations.md: it needs 30 seconds; Fly.io allows 300 at most.
	kill, err := time.ParseDuration(c.KillTimeout)
	want(err == nil && kill >= 30*time.Second && kill <= 5*time.Minute, "kill_timeout is "+c.KillTimeout+", want 30s to 5m")
	want(c.KillSignal == "SIGTERM", "the program hands its imports over at SIGTERM")
	want(c.HTTPService.AutoStop == "off", "a machine that only works on an import has no traffic, and would be stopped")
	want(c.HTTPService.ForceHTTPS, "tokens and cookies would travel in the clear")
	want(c.HTTPService.Concurrency.Type == "requests" && 0 < c.HTTPService.Concurrency.SoftLimit && c.HTTPService.Concurrency.SoftLimit < c.HTTPService.Concurrency.HardLimit,
		"concurrency has to be of requests, with the soft limit below the hard one")
	want(c.HTTPService.Options.IdleTimeout >= 60, "idle_timeout would cut live pages")

	want(len(c.HTTPService.Checks) == 1 && strings.Contains(read(t, "../../httpd/routes.go"), `"`+c.HTTPService.Checks[0].Method+" "+c.HTTPService.Checks[0].Path+`"`), "the check asks for what no route answers")
	want(c.Deploy.Strategy == "bluegreen" && len(c.HTTPService.Checks) > 0, "bluegreen needs a check")
	want(strings.Contains(read(t, "../../cmd/importer/migrate.go"), `"`+c.Deploy.ReleaseCommand+`"`), "release_command is no command of the importer")
	want(strings.Contains(read(t, "../../Dockerfile"), " AS "+c.Build.Target+"\n"), "build-target is no stage of the Dockerfile")
	for variable := range c.Env {
		want(strings.Contains(read(t, "../../docs/operations.md"), "`"+variable+"`"), variable+" is no setting")
	}
	return all
}

func TestFlyComplaintsAreMade(t *testing.T) {
	t.Parallel()
	good := read(t, "../../fly.toml")
	for name, change := range map[string][2]string{
		"metrics on another port":        {"port = 9091", "port = 9092"},
		"metrics in public":              {":9091", ":8080"},
		"another port":                   {"internal_port = 8080", "internal_port = 80"},
		"killed too soon":                {`"120s"`, `"5s"`},
		"stopped when idle":              {`"off"`, `"stop"`},
		"a check of nothing":             {"/readyz", "/ready"},
		"no such command":                {`"migrate"`, `"migrations"`},
		"no such image":                  {`"app"`, `"apps"`},
		"a secret in the file":           {"[env]", "[env]\nIMPORTER_ADMIN_TOKEN = \"x\""},
		"a setting that is none":         {"[env]", "[env]\nIMPORTER_COLOUR = \"red\""},
		"a private database":             {`"never"`, `"auto"`},
		"sockets that are cut":           {"idle_timeout = 600", "idle_timeout = 5"},
		"limits the wrong way":           {"soft_limit = 500", "soft_limit = 5000"},
		"no https":                       {"force_https = true", "force_https = false"},
		"the signal of a debugger":       {"SIGTERM", "SIGQUIT"},
		"a strategy with a machine down": {"bluegreen", "rolling"},
	} {
		content := strings.Replace(good, change[0], change[1], 1)
		c, err := decodeFly(content)
		if content == good || err != nil {
			t.Errorf("%s: the test's own change does not work: %v", name, err)
		} else if len(flyComplaints(t, c)) == 0 {
			t.Errorf("%s: nobody complains", name)
		}
	}
	for name, line := range map[string]string{"a misspelt key": `kill_timeuot = "5s"`, "a type that is another": `kill_timeout = 5`} {
		if _, err := decodeFly(strings.Replace(good, `kill_timeout = "120s"`, line, 1)); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
