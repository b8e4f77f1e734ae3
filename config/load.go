package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// The processes that load a configuration.
const (
	ProcessAPI        = "api"
	ProcessWorker     = "worker"
	ProcessScanner    = "scanner"
	ProcessCtl        = "ctripctl"
	ProcessQuickstart = "quickstart"
)

// largestFile bounds what is read for a _FILE form or a chains file, in bytes.
const largestFile = 1 << 20

// callerGroup is the group of [Caller]'s settings.
const callerGroup = "Calling the API"

// Options say for whom the settings are read, and from where.
type Options struct {
	// Process is one of the Process constants. It chooses OPS_ADDR's default and which settings must be there.
	Process string
	// Environ is the environment as NAME=value; nil means the process's own.
	Environ []string
	// DotEnv is a file of NAME=value lines for development; the environment wins over it, the file may be missing.
	DotEnv string
	// AllowSQLite lets DATABASE_URL name SQLite. Only the quickstart sets it.
	AllowSQLite bool
	// Chains, when not nil, takes the place of CHAINS_FILE.
	Chains []Chain
}

// Load reads, parses and checks every setting. Its error is always a [*FieldErrors].
func Load(o Options) (Config, error) {
	var errs FieldErrors
	environ := readEnviron(o, &errs)
	if o.Process != ProcessQuickstart {
		forbiddenNames(environ, &errs)
	}
	vars := variables()
	values := resolveFiles(environ, vars, &errs)
	known := func(name string) bool {
		_, ok := values[name]
		return ok
	}
	all := map[string]string{}
	for name, value := range environ {
		all[name] = value
	}
	for name, value := range values {
		all[name] = value
	}
	forbiddenValues(all, known, &errs)

	var c Config
	parse(&c, values, &errs)
	defaults(&c, o)
	required(vars, values, o, &errs)
	c.validate(o, &errs)
	c.loadChains(o, values, &errs)
	if c.IsProduction() {
		c.validateProduction(&errs)
	}
	if err := errs.orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// LoadCaller reads and checks the settings of a merchant who calls the API, and no others: his environment is his own.
// url, unless it is empty, takes the place of CTRIP_API_URL. Its error is always a [*FieldErrors].
func LoadCaller(o Options, url string) (Caller, error) {
	var errs FieldErrors
	var vars []variable
	for _, v := range variables() {
		if v.Group == callerGroup {
			vars = append(vars, v)
		}
	}
	var c Config
	parse(&c, resolveFiles(readEnviron(o, &errs), vars, &errs), &errs)
	name := "CTRIP_API_URL"
	if url != "" {
		c.Caller.URL, name = url, "--api-url"
	}
	if bare, found := strings.CutSuffix(strings.TrimRight(c.Caller.URL, "/"), "/api/v1"); found {
		errs.add(name, "must not end in /api/v1, which every request adds: %s", bare)
	}
	if !plainURL(c.Caller.URL, "http", "https") {
		errs.add(name, "is not an http or https URL without user, query and fragment")
	}
	if c.Caller.Key == "" && !errs.Has("CTRIP_API_KEY") && !errs.Has("CTRIP_API_KEY_FILE") {
		errs.add("CTRIP_API_KEY", "is required: an API key of the merchant, or CTRIP_API_KEY_FILE with the name of a file "+
			"that holds it")
	}
	return c.Caller, errs.orNil()
}

// Need reports the named variables that were left empty. ctripctl, whose commands differ in what they use, asks
// with it; [Load] has asked already for the services.
func (c Config) Need(names ...string) error {
	var errs FieldErrors
	for _, v := range variables() {
		for _, name := range names {
			if v.Name == name && reflect.ValueOf(c).FieldByIndex(v.index).IsZero() {
				errs.add(name, "is required")
			}
		}
	}
	return errs.orNil()
}

func readEnviron(o Options, errs *FieldErrors) map[string]string {
	lines := o.Environ
	if lines == nil {
		lines = os.Environ()
	}
	environ := map[string]string{}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && name != "" {
			environ[name] = value
		}
	}
	if e := environ["ENV"]; o.DotEnv == "" || (e != "" && e != Development) {
		return environ
	}
	fromFile, err := godotenv.Read(o.DotEnv)
	if errors.Is(err, os.ErrNotExist) {
		return environ
	}
	if err != nil {
		errs.add(o.DotEnv, "cannot be read as NAME=value lines")
		return environ
	}
	// A file that says that this is production would be read in production.
	if e := fromFile["ENV"]; environ["ENV"] == "" && e != "" && e != Development {
		errs.add(o.DotEnv, "sets ENV=%s, but is read in development only; give ENV and the other settings by the environment",
			oneOf(e, Production, Test))
		return environ
	}
	for name, value := range fromFile {
		if environ[name] == "" && environ[strings.TrimSuffix(name, "_FILE")] == "" && environ[name+"_FILE"] == "" {
			environ[name] = value
		}
	}
	return environ
}

// oneOf is a value when it is one of those that are known, so that no other text of a file is repeated.
func oneOf(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return "…"
}

// resolveFiles returns the known variables that are set, each from itself or from the file that its _FILE form names.
func resolveFiles(environ map[string]string, vars []variable, errs *FieldErrors) map[string]string {
	values := map[string]string{}
	for _, v := range vars {
		value, path := environ[v.Name], environ[v.Name+"_FILE"]
		switch {
		case value != "" && path != "":
			errs.add(v.Name, "is set, and %s_FILE too; keep one", v.Name)
		case path != "":
			content, err := readFile(path)
			if err != nil {
				errs.add(v.Name+"_FILE", "names a file that cannot be read: %v", err)
				continue
			}
			if value = strings.TrimRight(string(content), "\r\n"); value == "" {
				errs.add(v.Name+"_FILE", "names an empty file")
			}
		}
		if value != "" {
			values[v.Name] = value
		}
	}
	return values
}

// readFile reads a bounded file. The error says why without the path, which the caller adds where it may be shown.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			return nil, pathError.Err
		}
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	switch {
	case err != nil:
		return nil, problem("it is not a readable file")
	case len(content) > largestFile:
		return nil, problem("it is larger than 1 MiB")
	}
	return content, nil
}

var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[time.Duration](): func(s string) (any, error) { return ParseDuration(s) },
	// Secrets and URLs marshal as text but are read as plain strings.
	reflect.TypeFor[Secret](): func(s string) (any, error) { return Secret(s), nil },
	reflect.TypeFor[URL]():    func(s string) (any, error) { return URL(strings.TrimSpace(s)), nil },
	reflect.TypeFor[bool]():   func(s string) (any, error) { return strconv.ParseBool(s) },
}

func parse(c *Config, values map[string]string, errs *FieldErrors) {
	if env.ParseWithOptions(c, env.Options{Environment: values, FuncMap: parsers}) == nil {
		return
	}
	// The library's errors quote values and name fields. Parsing once more, one variable at a time, tells which variable
	// is wrong, and the message is written here.
	for _, v := range variables() {
		value, ok := values[v.Name]
		if !ok {
			continue
		}
		var scratch Config
		err := env.ParseWithOptions(&scratch, env.Options{Environment: map[string]string{v.Name: value}, FuncMap: parsers})
		if err == nil {
			continue
		}
		var parseError env.ParseError
		var own problem
		if errors.As(err, &parseError) && errors.As(parseError.Err, &own) {
			errs.add(v.Name, "%s", own)
		} else {
			errs.add(v.Name, "is not %s", v.Kind)
		}
	}
}

var days = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)

// ParseDuration is time.ParseDuration with days of 24 hours in front: 180d, 1d12h, 90s.
func ParseDuration(s string) (time.Duration, error) {
	var whole time.Duration
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, problem("is not a duration such as 10s or 180d")
		}
		whole, s = time.Duration(n)*24*time.Hour, m[2]
		if s == "" {
			return whole, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || (whole > 0 && (d < 0 || strings.HasPrefix(s, "+"))) {
		return 0, problem("is not a duration such as 10s or 180d")
	}
	return whole + d, nil
}

func defaults(c *Config, o Options) {
	if c.OpsAddr == "" {
		switch o.Process {
		case ProcessAPI, ProcessQuickstart:
			c.OpsAddr = "127.0.0.1:9090"
		case ProcessWorker:
			c.OpsAddr = "127.0.0.1:9091"
		case ProcessScanner:
			c.OpsAddr = "127.0.0.1:9092"
		}
	}
	if c.Tracing.ServiceName == "" {
		c.Tracing.ServiceName = "ctrip-" + strings.TrimPrefix(o.Process, "ctrip")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
}

func required(vars []variable, values map[string]string, o Options, errs *FieldErrors) {
	for _, v := range vars {
		needed := v.Required == "always" || (v.Required == "services" && o.Process != ProcessCtl)
		if needed && values[v.Name] == "" && !errs.Has(v.Name) && !errs.Has(v.Name+"_FILE") {
			errs.add(v.Name, "is required")
		}
	}
}

// loadChains reads CHAINS_FILE. The worker and ctripctl do without it unless it is named.
func (c *Config) loadChains(o Options, values map[string]string, errs *FieldErrors) {
	if o.Chains != nil {
		c.Chains = o.Chains
		validateChains(c.Chains, errs, func(string) string { return "" })
	} else {
		content, err := readFile(c.Payments.ChainsFile)
		_, named := values["CHAINS_FILE"]
		switch {
		case err != nil && !named && (o.Process == ProcessWorker || o.Process == ProcessCtl):
			return
		case err != nil:
			errs.add("CHAINS_FILE", "%s cannot be read: %v", c.Payments.ChainsFile, err)
			return
		}
		chains, err := ParseChains(content)
		var found *FieldErrors
		if errors.As(err, &found) {
			errs.All = append(errs.All, found.All...)
			return
		}
		c.Chains = chains
	}
	for i, chain := range c.Chains {
		for j, u := range chain.RPCURLs {
			if !c.IsProduction() || isLoopback(u.Host()) || !strings.HasPrefix(string(u), "http:") &&
				!strings.HasPrefix(string(u), "ws:") {
				continue
			}
			c.Warnings = append(c.Warnings, fmt.Sprintf("chains[%d].rpc_urls[%d]: %s is reached without TLS; whoever sits "+
				"between can forge payments", i, j, u))
		}
	}
}
